"""What `index`, `search`, `similar` and `labels` refuse or cannot do: its exit code and its one line on stderr."""

import shutil
from pathlib import Path

import pytest
from cli.failures import failed
from conftest import Invoke, make_bundle, make_photo

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.core.progress import NullReporter


@pytest.mark.parametrize("command", [("annotate", "photos"), ("annotate", "."), ("similar", "a.jpg"), ("search", "x")])
def test_with_neither_model_nor_index_the_error_says_what_to_do(command: tuple[str, ...], invoke: Invoke) -> None:
    words = ("no model", "model add", "--model") if command[0] == "annotate" else ("no index", "aaam-pipe index")
    failed(invoke(*command), 2, *words)


@pytest.mark.parametrize("command", [("search", "grass"), ("similar", "a.jpg"), ("labels",), ("index",)])
def test_a_folder_of_another_kind_is_a_usage_error(command: tuple[str, ...], photos: Path, invoke: Invoke) -> None:
    words = (*command, photos) if command == ("index",) else (*command, "--index", photos)
    failed(invoke(*words), 2, "is not an")


@pytest.mark.parametrize("command", [("search", "grass"), ("labels",), ("similar", "a.jpg")])
def test_a_damaged_index_exits_4(command: tuple[str, ...], indexed: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(indexed, tmp_path / "index")
    (tmp_path / "index" / "scores.duckdb").write_bytes(b"short")
    failed(invoke(*command, "--index", "index", "--quiet"), 4, "build the index again with aaam-pipe index --out index")


def test_damaged_annotations_exit_4(annotated: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(annotated, tmp_path / "annotations")
    (tmp_path / "annotations" / "part-00001.parquet").unlink()
    failed(invoke("index", "--quiet"), 4, "part-00001.parquet is missing")


def test_an_unknown_word_exits_2_with_suggestions(indexed: Path, invoke: Invoke) -> None:
    failed(invoke("search", "footbal gras", "--index", indexed), 2, "'footbal'", "mean football?", "'gras'", "grass?")


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
    failed(invoke("labels", "gr", "--words"), 2, "a text and --words")


def test_two_formats_at_once_are_a_usage_error(indexed: Path, photos: Path, invoke: Invoke) -> None:
    for command in (("search", "grass"), ("similar", photos / "001.jpg")):
        failed(invoke(*command, "--index", indexed, "--json", "--paths"), 2, "--json and --paths")


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
    runner.annotate(inputs.find([photos]), model, tmp_path / "annotations", runner.Options(), NullReporter())
    invoke("index")
    shutil.rmtree(model)
    # one that the index holds needs no model
    assert invoke("similar", photos / "001.jpg").exit_code == 0
    make_photo(tmp_path / "new.jpg", 1)
    failed(invoke("similar", "new.jpg", "--quiet"), 2, "is not in the index", f"not at {model} any more", "--model")
