"""What fails, is refused or is interrupted: its exit code and its one line on stderr, run inside this process."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Invoke, Result, make_bundle, make_photo

from aaam_pipeline.annotate import runner, sources
from aaam_pipeline.core.progress import NullReporter


@pytest.fixture
def bad_folder(tmp_path: Path) -> Path:
    """Three good photographs and two bad ones."""
    folder = tmp_path / "bad"
    for number in range(3):
        make_photo(folder / f"{number}.jpg", number)
    (folder / "text.jpg").write_text("no image")
    (folder / "zero.jpg").touch()
    return folder


def failed(result: Result, code: int, *words: str) -> None:
    """Check the exit code, and that stderr is one line that holds `words`."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in lines[0]
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("name", ["missing", "empty", "only text"])
def test_annotate_without_images_is_a_usage_error(name: str, tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    if name != "missing":
        (tmp_path / name).mkdir()
    if name == "only text":
        (tmp_path / name / "notes.txt").write_text("text")
    failed(invoke("annotate", name, "--model", tiny_bundle), 2, name)
    assert not (tmp_path / "annotations").exists()
    assert not (tmp_path / "annotations.partial").exists()


def test_too_many_failures_exit_3_with_everything_written(
    bad_folder: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    result = invoke("annotate", bad_folder, "--model", tiny_bundle, "--quiet")
    failed(result, 3, "2 of 5 images failed", "1 empty_file", "1 not_an_image", "--max-failure-rate 0.1")
    assert (tmp_path / "annotations" / "manifest.json").is_file()
    assert invoke("index", "--quiet").exit_code == 0
    assert len(invoke("search", "grass", "--paths", "-q").stdout.splitlines()) == 3


def test_failures_within_the_budget_exit_0_and_are_told(bad_folder: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    result = invoke("annotate", bad_folder, "--model", tiny_bundle, "--max-failure-rate", 0.4)
    assert result.exit_code == 0
    assert "3 of 5 images annotated, 2 failed (1 empty_file, 1 not_an_image)" in result.stderr


def test_a_bundle_that_is_none_is_a_usage_error(photos: Path, invoke: Invoke) -> None:
    failed(invoke("annotate", photos, "--model", photos), 2, "is not a model bundle", "bundle.json")
    failed(invoke("annotate", photos, "--model", "gone"), 2, "gone is not a model bundle")


def cut_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def no_json(folder: Path) -> None:
    (folder / "bundle.json").write_text("{")


def another_format(folder: Path) -> None:
    info = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(info | {"version": 99}))


@pytest.mark.parametrize("damage", [cut_weights, remove_weights, flip_a_bit, no_json, another_format])
def test_a_damaged_bundle_exits_4(
    damage: Callable[[Path], None], photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "model")
    damage(tmp_path / "model")
    failed(invoke("annotate", photos, "--model", "model"), 4, "model")
    assert not (tmp_path / "annotations").exists()


@pytest.mark.parametrize("device", ["nonsense", "cuda:x", "meta", "", "gpu"])
def test_a_device_that_is_none_is_a_usage_error(
    device: str, photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--device", device), 2, f"no device '{device}'")
    failed(invoke("doctor", "--device", device), 2, f"no device '{device}'")
    assert not (tmp_path / "annotations").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none_is_a_usage_error(
    device: str, photos: Path, tiny_bundle: Path, invoke: Invoke
) -> None:
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--device", device), 2, f"--device {device}")
    failed(invoke("doctor", "--device", device), 2, f"--device {device}")


def test_devices_are_read_from_the_environment(
    photos: Path, tiny_bundle: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAAM_DEVICE", "nonsense")
    failed(invoke("annotate", photos, "--model", tiny_bundle), 2, "no device 'nonsense'")
    assert invoke("annotate", photos, "--model", tiny_bundle, "--device", "cpu").exit_code == 0


@pytest.mark.parametrize("place", ["file/out", "file/deeper/out", "/proc/out", "/sys/out"])
def test_an_output_that_cannot_be_written_is_a_usage_error(
    place: str, photos: Path, tiny_bundle: Path, annotated: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "file").write_text("mine")
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--out", place), 2, "cannot write to")
    failed(invoke("index", annotated, "--out", place), 2, "cannot write to")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_folder_is_a_usage_error(
    photos: Path, tiny_bundle: Path, annotated: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--out", "locked/out"), 2, "cannot write to")
    failed(invoke("index", annotated, "--out", "locked/out"), 2, "cannot write to")


def test_an_output_with_other_files_is_refused(
    photos: Path, tiny_bundle: Path, annotated: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "novel").mkdir()
    (tmp_path / "novel" / "chapter.txt").write_text("mine")
    annotate = ("annotate", photos, "--model", tiny_bundle, "--out", "novel")
    failed(invoke(*annotate), 2, "is not an annotations folder")
    failed(invoke(*annotate, "--on-existing", "overwrite"), 2, "is not an annotations folder")
    failed(invoke("index", annotated, "--out", "novel"), 2, "is not an index")
    assert (tmp_path / "novel" / "chapter.txt").read_text() == "mine"


def test_on_existing_decides_about_finished_work(photos: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    annotate = ("annotate", photos, "--model", tiny_bundle)
    assert invoke(*annotate).exit_code == 0
    assert "nothing to do" in invoke(*annotate).stderr
    failed(invoke(*annotate, "--on-existing", "error"), 2, "annotations exists")
    failed(invoke(*annotate, "--threshold", 0.9), 2, "holds other work", "--on-existing overwrite")
    assert invoke(*annotate, "--threshold", 0.9, "--on-existing", "overwrite").exit_code == 0


@pytest.mark.parametrize("command", [("annotate", "photos"), ("annotate", "."), ("similar", "a.jpg"), ("search", "x")])
def test_with_neither_model_nor_index_the_error_says_what_to_do(command: tuple[str, ...], invoke: Invoke) -> None:
    words = ("no model", "dvc repro", "--model") if command[0] == "annotate" else ("no index", "aaam-pipe index")
    failed(invoke(*command), 2, *words)


@pytest.mark.parametrize("command", [("search", "grass"), ("similar", "a.jpg"), ("labels",), ("index",)])
def test_a_folder_of_another_kind_is_a_usage_error(command: tuple[str, ...], photos: Path, invoke: Invoke) -> None:
    words = (*command, photos) if command == ("index",) else (*command, "--index", photos)
    failed(invoke(*words), 2, "is not an")


@pytest.mark.parametrize("command", [("search", "grass"), ("labels",), ("similar", "a.jpg")])
def test_a_damaged_index_exits_4(command: tuple[str, ...], indexed: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(indexed, tmp_path / "index")
    (tmp_path / "index" / "scores.duckdb").write_bytes(b"short")
    failed(invoke(*command, "--index", "index", "--quiet"), 4, "build the index again")


def test_damaged_annotations_exit_4(annotated: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(annotated, tmp_path / "annotations")
    (tmp_path / "annotations" / "part-00001.parquet").unlink()
    failed(invoke("index", "--quiet"), 4, "part-00001.parquet is missing")


def test_an_unknown_word_exits_2_with_suggestions(indexed: Path, invoke: Invoke) -> None:
    failed(invoke("search", "footbal gras", "--index", indexed), 2, "'footbal'", "'football'", "'gras'", "'grass'")


@pytest.mark.parametrize("query", [("",), ("--", "-gras"), ("-gras",)])
def test_a_query_that_cannot_be_understood_exits_2(query: tuple[str, ...], indexed: Path, invoke: Invoke) -> None:
    failed(invoke("search", "--index", indexed, *query), 2)


def test_a_query_that_cannot_be_parsed_shows_the_place(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "--index", indexed, "grass", "(person", "|dog")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: this parenthesis is not closed\n  grass (person |dog\n        ^\n"


def test_a_bad_words_file_exits_2(
    indexed: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "words.yaml").write_text("synonyms: [dog]")
    search = ("search", "grass", "--index", indexed)
    failed(invoke(*search, "--words", "words.yaml"), 2, "words.yaml is not a words file")
    failed(invoke(*search, "--words", "gone.yaml"), 2, "cannot read the words file gone.yaml")
    monkeypatch.setenv("AAAM_WORDS", "words.yaml")
    failed(invoke(*search), 2, "words.yaml is not a words file")
    failed(invoke("labels", "--words"), 2, "words.yaml is not a words file")


def test_options_of_search_and_labels_that_exclude_each_other(indexed: Path, invoke: Invoke) -> None:
    failed(invoke("search", "grass", "--index", indexed, "--explain", "--paths"), 2, "--paths and --explain")
    failed(invoke("labels", "--index", indexed, "--words", "--json"), 2, "--json and --words")


def test_two_formats_at_once_are_a_usage_error(indexed: Path, photos: Path, invoke: Invoke) -> None:
    for command in (("search", "grass"), ("similar", photos / "001.jpg")):
        failed(invoke(*command, "--index", indexed, "--json", "--paths"), 2, "--json and --paths")


@pytest.mark.parametrize(
    "words",
    [
        ("search",),
        ("search", "grass", "--top", "0"),
        ("search", "grass", "--nonsense"),
        ("nonsense",),
        ("annotate",),
        ("annotate", ".", "--threshold", "1.5"),
        ("annotate", ".", "--batch-size", "0"),
        ("annotate", ".", "--on-existing", "maybe"),
        (),
    ],
)
def test_a_wrong_command_line_exits_2(words: tuple[str, ...], invoke: Invoke) -> None:
    assert invoke(*words).exit_code == 2


def test_similar_with_another_model_exits_4(indexed: Path, tmp_path: Path, invoke: Invoke) -> None:
    photo, other = make_photo(tmp_path / "new.jpg", 1), make_bundle(tmp_path / "other", seed=2)
    result = invoke("similar", photo, "--index", indexed, "--model", other)
    failed(result, 4, "was built with toy-bce-", "not toy-bce-")


@pytest.mark.parametrize("photo", ["gone.jpg", "text.jpg"])
def test_similar_to_what_is_no_photograph_is_a_usage_error(
    photo: str, indexed: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "text.jpg").write_text("text")
    failed(invoke("similar", photo, "--index", indexed, "--quiet"), 2, photo)


def test_similar_without_the_indexs_model_says_how_to_go_on(photos: Path, tmp_path: Path, invoke: Invoke) -> None:
    model = make_bundle(tmp_path / "gone", seed=3)
    runner.annotate(sources.find([photos]), model, tmp_path / "annotations", runner.Options(), NullReporter())
    invoke("index")
    shutil.rmtree(model)
    # one that the index holds needs no model
    assert invoke("similar", photos / "001.jpg").exit_code == 0
    make_photo(tmp_path / "new.jpg", 1)
    failed(invoke("similar", "new.jpg", "--quiet"), 2, "is not in the index", f"not at {model} any more", "--model")


@pytest.mark.parametrize("words", [("search", "zebra"), ("annotate", "gone"), ("similar", "gone.jpg")])
def test_debug_shows_the_traceback_before_the_line(
    words: tuple[str, ...], indexed: Path, tiny_bundle: Path, invoke: Invoke
) -> None:
    where = ("--model", tiny_bundle) if words[0] == "annotate" else ("--index", indexed)
    result = invoke("--debug", *words, *where)
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_a_defect_is_one_line_too(indexed: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero\nsomewhere")

    monkeypatch.setattr("aaam_pipeline.search.engine.Index.query", broken)
    failed(
        invoke("search", "grass", "--index", indexed), 1, "unexpected ZeroDivisionError: by zero somewhere", "--debug"
    )


def test_a_full_disk_is_one_line(
    photos: Path, tiny_bundle: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "annotations")

    monkeypatch.setattr("aaam_pipeline.annotate.writer.write_bytes", full)
    failed(invoke("annotate", photos, "--model", tiny_bundle, "-q"), 1, "annotations: No space left on device")


def test_an_interruption_exits_130_and_the_same_command_goes_on(
    photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aaam_pipeline.annotate.work.Work.publish", stop)
        result = invoke("annotate", photos, "--model", tiny_bundle, "-q")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.splitlines() == ["interrupted; what was finished is kept, run the same command again to go on"]
    assert not (tmp_path / "annotations").exists()
    assert "going on" in invoke("annotate", photos, "--model", tiny_bundle).stderr
