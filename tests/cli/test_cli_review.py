"""`aaam-pipe review` as a shell sees it: what it prints, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest
from cli.failures import failed
from conftest import LABELS, Invoke

from aaam_pipeline.formats.decisions import Decision, encode


def asked(invoke: Invoke, *words: str | Path) -> list[dict[str, object]]:
    done = invoke("review", "--json", "-q", *words)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_asks_for_each_pair_once_and_not_for_what_is_decided(invoke: Invoke, indexed: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "decisions.jsonl"
    words = ("--index", indexed, "--decisions", ledger, "--top", "1000")
    first = asked(invoke, *words)
    assert len({(item["sha256"], item["label"]) for item in first}) == 24 * len(LABELS)
    assert set(first[0]) >= {"path", "root", "sha256", "label", "now", "why", "score", "chance_wrong", "worth"}
    assert [item["worth"] for item in first] == sorted((item["worth"] for item in first), reverse=True)  # type: ignore[type-var]
    said = [(str(item["sha256"]), str(item["label"])) for item in first[:30]]
    decisions = [Decision(sha256=sha256, label=label.upper(), value="no", by="person") for sha256, label in said]
    ledger.write_bytes(b"".join(map(encode, decisions)))
    assert len(asked(invoke, *words)) == 24 * len(LABELS) - 30
    assert not {(item["sha256"], item["label"]) for item in asked(invoke, *words)} & set(said)


def test_lines_paths_and_a_page(invoke: Invoke, indexed: Path, tmp_path: Path) -> None:
    done = invoke("review", "--index", indexed, "--label", "Dog", "--label", "dog", "--top", "3", "--html", "page.html")
    assert done.exit_code == 0
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[1] for line in lines] == ["dog"] * 3
    assert {line[2] for line in lines} <= {"yes", "no"}
    assert "to decide: aaam-pipe decide IMAGE --yes LABEL" in done.stderr
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg") == 3
    assert "now " in page
    paths = invoke("review", "--index", indexed, "--label", "dog", "--top", "3", "-0").stdout.split("\0")
    assert [Path(path).name for path in paths[:-1]] == [Path(line[4]).name for line in lines]
    assert all(Path(path).is_file() for path in paths[:-1])
    # a photograph that is asked about with several labels is named once
    every = invoke("review", "--index", indexed, "--top", "1000", "--paths").stdout.splitlines()
    assert len(every) == len(set(every)) == 24


def test_what_it_refuses(invoke: Invoke, indexed: Path, annotated: Path, tmp_path: Path) -> None:
    failed(invoke("review"), 2, "no index here")
    failed(invoke("review", "--index", annotated), 2, "aaam-pipe index")
    failed(invoke("review", "--index", indexed, "--label", "dgo"), 2, "did you mean dog?")
    failed(invoke("review", "--index", indexed, "--json", "-0"), 2, "exclude each other")
    failed(invoke("review", "--index", indexed, "--html", "page.txt"), 2, ".html")
    failed(invoke("review", "--index", indexed, "--decisions", tmp_path), 2, "is a folder")


def test_lines_that_cannot_be_read_are_said(invoke: Invoke, indexed: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "mine.jsonl"
    ledger.write_text("nonsense\n")
    done = invoke("review", "--index", indexed, "--decisions", ledger, "--top", "1")
    assert done.exit_code == 0
    assert "1 line left out" in done.stderr


@pytest.mark.parametrize("top", ["0", "-1", "x"])
def test_top_is_a_number_of_questions(invoke: Invoke, indexed: Path, top: str) -> None:
    assert invoke("review", "--index", indexed, "--top", top).exit_code == 2


def test_a_table_is_filled_in_and_taken_by_decide(invoke: Invoke, indexed: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "decisions.jsonl"
    words = ("--index", indexed, "--decisions", ledger)
    table = tmp_path / "ask.csv"
    table.write_text(invoke("review", *words, "--top", "6", "--csv", "-q").stdout)
    heading, *rows = list(csv.reader(table.read_text().splitlines()))
    assert heading[:3] == ["image", "label", "value"]
    assert len(rows) == 6
    # what is left empty is not decided, in either form
    lines = tmp_path / "ask.jsonl"
    lines.write_text(invoke("review", *words, "--top", "6", "--json", "-q").stdout)
    for file in (table, lines):
        assert invoke("decide", "--from", file, *words, "-q").exit_code == 0
        assert len(asked(invoke, *words, "--top", "1000")) == 24 * len(LABELS)
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([heading, *([*row[:2], "no", *row[3:]] for row in rows)])
    assert invoke("decide", "--from", table, *words, "-q").exit_code == 0
    left = {(item["sha256"], item["label"]) for item in asked(invoke, *words, "--top", "1000")}
    assert len(left) == 24 * len(LABELS) - 6
    assert not left & {(row[6], row[1]) for row in rows}
