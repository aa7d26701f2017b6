"""`aaam-pipe teach`: photographs in, a word out, and every mistake in one line."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search.toy_index import DIM, IMAGES, LABELS, SCORES_NL, write_annotations
from typer.testing import CliRunner, Result

from aaam_pipeline.cli.app import app
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import decisions, taught
from aaam_pipeline.index.build import build

RUNNER = CliRunner()
DOGS = range(60)
"""Ids of the images that show the dog."""


def embeddings() -> np.ndarray[Any, Any]:
    chance = np.random.default_rng(1)
    embedding_ND = chance.normal(size=(IMAGES, DIM))
    embedding_ND[: len(DOGS), 2] += 6
    return embedding_ND.astype(np.float16)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of files whose content is known to the index; the first show the dog."""
    folder = tmp_path_factory.mktemp("library")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(IMAGES):
        (photos / f"{number:04d}.jpg").write_bytes(b"%d" % number)
    hashes = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(IMAGES)]
    write_annotations(folder / "annotations", SCORES_NL, embeddings(), sha256=hashes, root=[str(photos)] * IMAGES)
    build(folder / "annotations", folder / "index", NullReporter())
    return folder


@pytest.fixture
def project(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with that library."""
    for name in ("annotations", "index"):
        shutil.copytree(library / name, tmp_path / name)
    (tmp_path / "photos").symlink_to(library / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def attempt(*args: str) -> Result:
    return RUNNER.invoke(app, list(args))


def run(*args: str) -> Result:
    done = attempt(*args)
    assert done.exit_code == 0, done.output
    return done


def dogs(*numbers: int) -> list[str]:
    return [f"photos/{number:04d}.jpg" for number in numbers]


def found(word: str, top: int = 20) -> list[int]:
    lines = run("search", word, "--top", str(top), "--json", "-q").stdout.splitlines()
    return [int(json.loads(line)["path"][:4]) for line in lines]


def test_a_word_is_taught_searched_listed_and_forgotten(project: Path) -> None:
    before = sorted(path.name for path in project.iterdir())
    dry = run("teach", "my", "dog", "--yes", *dogs(*range(10)), "--dry-run", "--json")
    assert json.loads(dry.stdout)["images"] is None
    assert sorted(path.name for path in project.iterdir()) == before
    done = json.loads(run("teach", "my", "dog", "--yes", *dogs(*range(10)), "--json").stdout)
    assert (done["label"], done["yes"], done["no"], done["renewed"]) == ("my dog", 10, 0, False)
    assert 30 < done["images"] < 90
    assert 0 < done["ap_low"] <= done["ap"] <= done["ap_high"] <= 1
    assert sum(number in DOGS for number in found("my dog")) >= 18
    assert "taught by you from 10 photographs" in run("labels", "my", "-q").stdout
    listed = json.loads(run("teach", "--list", "--json").stdout)
    assert (listed["label"], listed["images"]) == ("my dog", done["images"])
    explained = run("search", "my dog", "--explain", "--top", "1")
    assert "'my dog' was taught by you from 10 photographs, AP" in explained.stderr
    assert "decided by you" in explained.stdout
    # its examples are decisions, and the first hits
    assert set(range(10)) == set(found("my dog", 10))
    yes, no = decisions.read(project / "decisions.jsonl").of_label("my dog")
    assert (len(yes), len(no)) == (10, 0)
    # a rebuilt index has it
    run("index", "annotations", "--out", "other", "-q")
    assert "my dog" in run("labels", "--index", "other", "-q").stdout
    run("teach", "--forget", "MY DOG")
    # what was decided is all that is known of it then
    assert "no model knows it" in run("labels", "my dog", "-q").stdout
    assert sorted(found("my dog")) == list(range(10))
    assert taught.read(project / "taught.safetensors") == []
    assert len(decisions.read(project / "decisions.jsonl")) == 10


def test_a_taught_word_is_a_known_one_to_decide(project: Path) -> None:
    run("teach", "my dog", "--yes", *dogs(*range(10)), "-q")
    done = run("decide", *dogs(20, 300), "--no", "my dog", "--yes", "grass", "--json")
    assert "no word of the model" not in done.stderr
    scores = {(line["image"], line["label"]): line["score"] for line in map(json.loads, done.stdout.splitlines())}
    assert len(scores) == 4
    assert scores["photos/0020.jpg", "my dog"] > scores["photos/0300.jpg", "my dog"]
    assert scores["photos/0020.jpg", "grass"] == pytest.approx(float(SCORES_NL[20, 0]), abs=2e-3)


def test_folders_lists_and_photographs_without_it_teach_too(project: Path) -> None:
    folder = project / "chosen"
    folder.mkdir()
    for number in range(4):
        (folder / f"copy {number}.jpg").write_bytes(b"%d" % number)
    (project / "more.txt").write_text("\n".join(dogs(4, 5, 6)))
    done = run("teach", "dog!", "--yes", "chosen", "more.txt", "--no", *dogs(200, 201), "--json")
    assert [json.loads(done.stdout)[key] for key in ("yes", "no")] == [7, 2]
    # again, with more: those of before count, too
    again = json.loads(run("teach", "Dog!", "--yes", *dogs(7, 200), "--json").stdout)
    assert (again["yes"], again["no"], again["renewed"]) == (9, 1, True)
    assert len(taught.read(project / "taught.safetensors")) == 1


def test_decisions_teach_new_words_and_renew_those_that_have_new_ones(project: Path) -> None:
    run("teach", "my dog", "--yes", *dogs(*range(6)))
    assert run("teach", "--from-decisions", "--json").stdout == ""
    lines = [
        {"sha256": hashlib.sha256(b"%d" % number).hexdigest(), "label": label, "value": value, "by": "person"}
        for label, value, numbers in (("my dog", "no", [300]), ("wolf", "yes", range(6)), ("grass", "yes", range(6)))
        for number in numbers
    ]
    with (project / "decisions.jsonl").open("a") as ledger:
        ledger.writelines(f"{json.dumps(line)}\n" for line in lines)
    renewed = [json.loads(line) for line in run("teach", "--from-decisions", "--json").stdout.splitlines()]
    assert [(each["label"], each["no"], each["renewed"]) for each in renewed] == [
        ("my dog", 1, True),
        ("wolf", 0, False),
    ]
    assert run("teach", "--from-decisions", "--json").stdout == ""


def test_a_word_of_another_model_is_left_out_said_and_taught_again(project: Path) -> None:
    run("teach", "my dog", "--yes", *dogs(*range(8)))
    path = project / "taught.safetensors"
    (line,) = taught.read(path)
    old = line._replace(word=taught.msgspec.structs.replace(line.word, embedding="ffffffff"))
    taught.write(path, [old])
    said = run("index", "annotations")
    assert "taught with another model: 'my dog'; aaam-pipe teach --from-decisions" in said.stderr
    assert "no model knows it" in run("labels", "my dog", "-q").stdout
    renewed = json.loads(run("teach", "--from-decisions", "--json").stdout)
    assert (renewed["label"], renewed["yes"]) == ("my dog", 8)
    assert "taught by you from 8 photographs" in run("labels", "my dog", "-q").stdout


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["my dog", "--yes", "nowhere"], 2, "no file or folder nowhere"),
        (["my dog", "--yes", "photos/0001.jpg", "--no", "photos/0001.jpg"], 2, "with --yes and with --no"),
        (["grass", "--yes", "photos/0001.jpg"], 2, "the model knows 'grass' already"),
        (["my dog"], 2, "name photographs that show it"),
        (["--yes", "photos/0001.jpg"], 2, "name the word first"),
        (["a\tb\x01", "--yes", "photos/0001.jpg"], 2, "can be no word"),
        (["my dog", "--yes", "photos/0001.jpg", "photos/0002.jpg"], 1, "from 2 photographs: it takes 3"),
        (["my dog", "--yes", *dogs(100, 201, 302, 403)], 1, "cannot be learned from these examples"),
        (["--list", "--forget"], 2, "exclude each other"),
        (["--list", "--yes", "photos"], 2, "exclude each other"),
        (["--forget", "x"], 2, "was not taught"),
        (["x", "--from-decisions"], 2, "neither taught nor decided about"),
        (["my dog", "--yes", "photos", "--index", "annotations"], 2, "holds annotations, not an index"),
        (["my dog", "--yes", "photos", "--taught", "photos"], 2, "is a folder"),
    ],
)
def test_mistakes_are_said_in_one_line_and_change_nothing(project: Path, args: list[str], code: int, said: str) -> None:
    done = attempt("teach", *args, "-q")
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert "Traceback" not in done.output
    assert not (project / "taught.safetensors").exists()
    assert not (project / "decisions.jsonl").exists()


def test_a_damaged_file_and_another_writer_are_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aaam_pipeline.cli.teacher.WAIT", 0.1)
    with exclusive(project / "taught.safetensors"):
        done = attempt("teach", "my dog", "--yes", *dogs(*range(8)))
        assert (done.exit_code, "another process" in done.stderr) == (2, True)
    with exclusive(project / "index"):
        done = attempt("teach", "my dog", "--yes", *dogs(*range(8)))
        assert (done.exit_code, "it is kept in taught.safetensors" in done.stderr) == (2, True), done.output
    run("index", "annotations", "-q")
    assert found("my dog")
    path = project / "taught.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    for args in (["teach", "cat", "--yes", *dogs(*range(8))], ["index", "annotations"], ["teach", "--list"]):
        done = attempt(*args)
        assert (done.exit_code, "damaged" in done.stderr) == (4, True), done.output
    # what was in the index is still searched
    assert found("my dog")
    assert len(LABELS) + 1 == len(run("labels", "-q").stdout.splitlines())
