"""The commands that do their work, run inside this process: quick, since torch is loaded once."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from conftest import LABELS, Invoke, make_bundle

from aaam_pipeline import __version__
from aaam_pipeline.cli.app import app


def commands() -> list[tuple[str, Any]]:
    group = typer.main.get_group(app)
    found = [("", group), *group.commands.items()]
    for name, command in group.commands.items():
        found += [(f"{name} {inner}", each) for inner, each in getattr(command, "commands", {}).items()]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_every_option_has_help(name: str, command: Any) -> None:
    assert command.help
    assert command.help.splitlines()[0].endswith(".")
    # a list of commands shows the first sentence, and takes an abbreviation for its end
    assert not re.match(r"[^.]*\b[A-Z][a-z]{1,3}\. ", command.help)
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


def test_the_commands_are_those_that_the_issues_name() -> None:
    named = {
        "annotate",
        "verify",
        "index",
        "search",
        "similar",
        "dedup",
        "labels",
        "doctor",
        "model",
        "model add",
        "model export",
        "model list",
        "model pack",
        "model remove",
        "model show",
    }
    named |= {
        "decide",
        "decisions",
        *(f"decisions {each}" for each in ("list", "undo", "import", "export", "merge", "verify")),
    }
    named |= {"export", "review", "keywords", "keywords undo", "keywords write", "relabel", "thresholds"}
    named |= {"diff", "health", "import-keywords", "teach"}
    named |= {"train", "report", "config", "figures", "figures paths", "figures bars", "figures maps"}
    assert {name for name, _ in commands()} == {"", *named}


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_help_of_a_command_names_all_its_options(name: str, invoke: Invoke) -> None:
    result = invoke(*name.split(), "--help")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    for parameter in dict(commands())[name].params:
        if parameter.param_type_name == "option":
            assert max(parameter.opts, key=len) in result.stdout


@pytest.mark.parametrize("name", [name for name, command in commands() if not hasattr(command, "commands")])
def test_every_command_takes_the_options_of_the_program(name: str, invoke: Invoke) -> None:
    result = invoke(*name.split(), "-vv", "--debug", "--log-file", "x.log", "--help")
    assert result.exit_code == 0
    assert "--log-file" not in result.stdout


def test_version_is_printed(invoke: Invoke) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"aaam-pipe {__version__}\n")


def test_from_a_folder_to_hits(photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    first = invoke("annotate", photos, "--model", tiny_bundle, "--top", 2)
    assert first.exit_code == 0, first.stderr
    assert first.stdout == ""
    assert "24 images: 24 new" in first.stderr
    assert " on cpu" in first.stderr
    assert str(tiny_bundle) in first.stderr
    assert "24 of 24 images annotated, none failed" in first.stderr
    second = invoke("index")
    assert second.exit_code == 0, second.stderr
    assert "24 images, 5 labels, 0 left out" in second.stderr
    third = invoke("search", "grass", "person", "--top", 3)
    assert third.exit_code == 0
    assert third.stderr == "index: index\n"
    assert len(third.stdout.splitlines()) == 3


@pytest.mark.parametrize("command", ["annotate", "index"])
def test_quiet_says_nothing(command: str, photos: Path, tiny_bundle: Path, annotated: Path, invoke: Invoke) -> None:
    words = (photos, "--model", tiny_bundle) if command == "annotate" else (annotated,)
    result = invoke(command, *words, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_similar_uses_the_indexs_own_model(indexed: Path, photos: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copy(photos / "001.jpg", tmp_path / "copy.jpg")
    result = invoke("similar", "copy.jpg", "--index", indexed, "--paths", "--top", 2)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == str(photos / "001.jpg")


@pytest.mark.parametrize("command", ["search", "similar"])
def test_json_is_one_object_a_line_and_nothing_else(
    command: str, indexed: Path, photos: Path, tmp_path: Path, invoke: Invoke
) -> None:
    shutil.copytree(indexed, tmp_path / "index")
    words = ("search", "grass person") if command == "search" else ("similar", photos / "001.jpg")
    result = invoke(*words, "--json", "--top", 7)
    hits = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(hits) == 7
    assert result.stderr == "index: index\n"
    for hit in hits:
        assert set(hit) == {
            "rank",
            "path",
            "root",
            "score",
            "labels",
            "label_scores",
            "exists",
            "unfamiliar",
            "decided",
        }
        assert Path(hit["root"], hit["path"]).is_file()
        assert set(hit["label_scores"]) == ({"grass", "person"} if command == "search" else set())
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


@pytest.mark.parametrize("command", ["search", "similar"])
def test_paths_are_those_of_files_that_exist(command: str, indexed: Path, photos: Path, invoke: Invoke) -> None:
    words = ("search", "grass") if command == "search" else ("similar", photos / "001.jpg")
    lines = invoke(*words, "--index", indexed, "--paths").stdout.splitlines()
    assert len(lines) == 20 == len(set(lines))
    assert all(Path(line).is_file() for line in lines)


def test_without_a_terminal_hits_are_tab_separated_and_plain(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "traffic light", "--index", indexed, "--top", 3)
    for line in result.stdout.splitlines():
        score, path, labels = line.split("\t")
        assert 0 < float(score) <= 1
        assert Path(path).is_file()
        assert labels.startswith("traffic light 0.")
    assert "\x1b" not in result.output


def test_no_hit_is_said_on_stderr(indexed: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aaam_pipeline.search.engine.Index.query", lambda *_, **__: [])
    result = invoke("search", "grass", "--index", indexed)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "none of 24 images fits this query\n"
    assert invoke("search", "grass", "--index", indexed, "--json", "--quiet").output == ""


def test_the_newest_model_is_taken_and_named(photos: Path, tmp_path: Path, invoke: Invoke) -> None:
    # a network of the comparison, and one that is being written, are not meant
    for number, folder in enumerate(
        ("models/scenes/hard", "models/scenes/bce", "models/scenes/warp", "models/scenes/new.partial")
    ):
        make_bundle(tmp_path / folder, seed=number)
        os.utime(tmp_path / folder / "bundle.json", (number, number))
    result = invoke("annotate", photos)
    assert result.exit_code == 0
    assert "models/scenes/bce)" in result.stderr


@pytest.mark.parametrize("command", [("search", "grass"), ("labels",)])
def test_the_newest_index_is_taken_and_named(
    command: tuple[str, ...], indexed: Path, tmp_path: Path, invoke: Invoke
) -> None:
    for number, folder in enumerate(("index", "retrieval/scenes/index", "demo/index")):
        shutil.copytree(indexed, tmp_path / folder)
        os.utime(tmp_path / folder / "manifest.json", (9 - number, 9 - number))
    os.utime(tmp_path / "retrieval/scenes/index/manifest.json", (100, 100))
    assert invoke(*command).stderr == "index: retrieval/scenes/index\n"
    assert invoke(*command, "--quiet").stderr == ""
    assert invoke(*command, "--index", "index").stderr == ""


def test_labels_are_listed_with_their_counts(indexed: Path, annotated: Path, invoke: Invoke) -> None:
    plain = invoke("labels", "--index", indexed)
    lines = [line.strip().split("  ", 1) for line in plain.stdout.splitlines()]
    assert [label for _, label in lines] == LABELS
    rows = [json.loads(line) for line in invoke("labels", "--index", indexed, "--json").stdout.splitlines()]
    assert rows == [{"label": label, "images": int(count)} for count, label in lines]
    assert rows == [{"label": label, "images": count} for label, count in zip(LABELS, counts(annotated), strict=True)]


def counts(annotated: Path) -> list[int]:
    import pyarrow.parquet as pq

    assigned = [
        label
        for part in annotated.glob("part-*.parquet")
        for labels in pq.read_table(part)["labels"].to_pylist()
        for label in labels
    ]
    return [assigned.count(label) for label in LABELS]


def doctor(invoke: Invoke, *words: Any) -> dict[str, str]:
    result = invoke("doctor", "--json", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    facts: dict[str, str] = json.loads(result.stdout)
    return facts


def test_doctor_names_versions_model_and_index(
    indexed: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    nothing = doctor(invoke)
    assert nothing["torch"] == torch.__version__.split("+")[0]
    assert nothing["model"].startswith("none")
    assert nothing["index"].startswith("none")
    assert nothing["taught"] == "none (make one with `aaam-pipe teach`)"
    shutil.copytree(indexed, tmp_path / "index")
    shutil.copytree(tiny_bundle, tmp_path / "models" / "toy" / "bce")
    there = doctor(invoke, "--device", "cpu")
    assert there["device"].startswith("cpu")
    assert "models/toy/bce (toy-bce-" in there["model"]
    assert "index (24 images, toy-bce-" in there["index"]
    plain = invoke("doctor", "--device", "cpu").stdout
    for name, fact in there.items():
        assert f"{name} " in plain
        assert fact in plain


def test_doctor_names_the_model_as_annotating_with_it_does(int8_bundle: Path, photos: Path, invoke: Invoke) -> None:
    named = ("--model", int8_bundle, "--device", "cpu")
    said = invoke("annotate", photos / "001.jpg", *named).stderr
    (model_id,) = re.findall("annotating with ([^ ]+-int8-[^ ]+) ", said)
    assert f"({model_id}: " in doctor(invoke, *named)["model"]


def test_doctor_advises_the_pipeline_only_where_there_is_one(invoke: Invoke, tmp_path: Path) -> None:
    assert json.loads(invoke("doctor", "--json").stdout)["model"] == "none (make one with `aaam-pipe model add FILE`)"
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    assert json.loads(invoke("doctor", "--json").stdout)["model"] == "none (make one with `dvc repro`)"


def test_doctor_lives_with_a_damaged_model_and_index(indexed: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(indexed, tmp_path / "index")
    (tmp_path / "index" / "manifest.json").write_text("{")
    (tmp_path / "models" / "toy" / "bce").mkdir(parents=True)
    (tmp_path / "models" / "toy" / "bce" / "bundle.json").write_text("{")
    facts = doctor(invoke)
    assert facts["model"].startswith("unusable: ")
    assert facts["index"].startswith("unusable: ")
