"""`aaam-pipe search` as people type it: a minus in front, notes, --explain, --words."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import Invoke, rewrite_json

from aaam_pipeline.search import thesaurus as words


def paths(invoke: Invoke, index: Path, *query: str) -> list[str]:
    result = invoke("search", "--index", index, "--paths", *query)
    assert result.exit_code == 0, result.output
    lines: list[str] = result.stdout.splitlines()
    return lines


@pytest.mark.parametrize(
    "query", [("-person grass",), ("-person", "grass"), ("--", "-person", "grass"), ("-person", "--", "grass")]
)
def test_a_query_may_begin_with_a_minus(query: tuple[str, ...], indexed: Path, invoke: Invoke) -> None:
    assert paths(invoke, indexed, *query) == paths(invoke, indexed, "(-person) grass")


@pytest.mark.parametrize("word", ["-traffic light", "-dog", "-(grass|dog)"])
def test_letters_of_a_negated_word_are_no_options(word: str, indexed: Path, invoke: Invoke) -> None:
    """`-traffic` begins with the `-t` of `--top`."""
    assert paths(invoke, indexed, word, "-t", "3") == paths(invoke, indexed, f"({word})")[:3]


def test_options_keep_their_meaning_beside_a_negated_word(indexed: Path, invoke: Invoke) -> None:
    for top in (("-t5",), ("-t", "5"), ("--top=5",)):
        assert len(paths(invoke, indexed, *top, "-dog", "-q")) == 5
    assert invoke("search", "-dog", "-h").stdout.startswith("Usage: ")
    assert invoke("search", "-dog", "--nonsense").exit_code == 2


def test_words_taken_for_others_are_noted_on_stderr(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "people PUPPIES grass person", "--index", indexed, "--json")
    assert result.stderr == "people is searched as person\nPUPPIES is searched as dog\n"
    assert result.stdout == invoke("search", "person dog grass", "--index", indexed, "--json").stdout
    assert invoke("search", "people", "--index", indexed, "--quiet").stderr == ""


def test_a_words_file_replaces_the_shipped_one(
    indexed: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text("synonyms: {dog: [Fiffi]}\nparents: {living: [dog, person]}\n")
    search = ("search", "fiffi living", "--index", indexed, "--json")
    result = invoke(*search, "--words", "own.yaml")
    assert result.stderr == "fiffi is searched as dog\nliving is searched as dog|person\n"
    assert invoke("search", "people", "--index", indexed, "--words", "own.yaml").exit_code == 2
    monkeypatch.setenv("AAAM_WORDS", "own.yaml")
    assert invoke(*search).stdout == result.stdout
    assert invoke("labels", "--words").stdout == (tmp_path / "own.yaml").read_text()


def test_the_words_in_effect_are_printed_to_be_edited(tmp_path: Path, invoke: Invoke) -> None:
    result = invoke("labels", "--words")
    assert result.exit_code == 0
    (tmp_path / "words.yaml").write_text(result.stdout)
    assert words.load(tmp_path / "words.yaml") == words.load()


def test_explain_says_what_each_term_contributed(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass dog|person -football width>1", "--index", indexed, "--top", "3", "--explain")
    assert result.exit_code == 0, result.output
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[2] for line in lines] == ["grass", "dog|person", "-football", "width>1"] * 3
    assert [line[3] for line in lines if line[2] == "width>1"] == ["1.000"] * 3
    assert lines[1][4].startswith("dog 0.")


def test_explain_as_json_has_the_hit_and_its_terms(indexed: Path, invoke: Invoke) -> None:
    query = ("search", "grass dog|person -football width>1", "--index", indexed, "--json")
    plain = [json.loads(line) for line in invoke(*query).stdout.splitlines()]
    explained = [json.loads(line) for line in invoke(*query, "--explain").stdout.splitlines()]
    assert [{**each, "terms": None} for each in plain] == [{**each, "terms": None} for each in explained]
    for hit in explained:
        grass, either, no, width = hit["terms"]
        assert grass == {
            "query": "grass",
            "score": hit["label_scores"]["grass"],
            "label_scores": {"grass": grass["score"]},
        }
        dog, person = either["label_scores"].values()
        assert either["score"] == pytest.approx(1 - (1 - dog) * (1 - person))
        assert no["score"] == pytest.approx(1 - hit["label_scores"]["football"])
        assert (width["score"], width["label_scores"]) == (1, {})
        assert hit["score"] == pytest.approx(grass["score"] * either["score"] * no["score"])


def test_explain_without_hits_is_empty(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass width>99999", "--index", indexed, "--explain")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "none of 24 images fits this query\n"


def test_labels_that_hold_a_text(indexed: Path, invoke: Invoke) -> None:
    result = invoke("labels", "GR", "--index", indexed)
    assert (result.exit_code, result.stdout.split()[1:], result.stderr) == (0, ["grass"], "")
    result = invoke("labels", "zebra", "--index", indexed)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "none of 5 labels holds 'zebra'\n")


def test_a_text_in_no_label_is_said_as_what_it_is_searched_as(indexed: Path, invoke: Invoke) -> None:
    said = invoke("labels", "people", "--index", indexed).stderr
    assert said.endswith("holds 'people'; a search for it is one for person\n")
    assert invoke("labels", "xyzzy", "--index", indexed).stderr.endswith("holds 'xyzzy'\n")


def test_a_path_that_fits_nothing_is_explained(indexed: Path, invoke: Invoke) -> None:
    said = invoke("search", "path:Summer*", "--index", indexed).stderr
    assert said.endswith("path: is compared with the whole path; anywhere in it: path:*Summer*\n")
    assert "whole path" not in invoke("search", "path:*Summer*", "--index", indexed).stderr
    # it is the width that nothing fits
    assert invoke("search", "path:0* width>99999", "--index", indexed).stderr == "none of 24 images fits this query\n"


@pytest.mark.parametrize("name", ["zz", "a [b]", "index"])
def test_an_index_of_any_name_is_found_in_the_folder_above(
    name: str, indexed: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    assert "no index here" in invoke("search", "dog").stderr
    shutil.copytree(indexed, tmp_path / name)
    result = invoke("search", "dog")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, f"index: {name}")


def test_annotations_that_are_newer_than_the_index_are_said(annotated: Path, tmp_path: Path, invoke: Invoke) -> None:
    newer = "annotations are newer than the index: aaam-pipe index annotations --out index"
    shutil.copytree(annotated, tmp_path / "annotations")
    assert invoke("index", "annotations").exit_code == 0
    asked = (("search", "xyzzy"), ("doctor",), ("verify", "index"))
    assert not any(newer in invoke(*words).output for words in asked)
    rewrite_json(tmp_path / "annotations" / "_manifest.json", model_id="another")
    assert all(newer in invoke(*words).output for words in asked)
    assert invoke("verify", "index").exit_code == 0
