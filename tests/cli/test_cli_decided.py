"""What `search`, `similar` and `labels` say where somebody decided, and the options that name the decisions."""

import getpass
import json
import os
import shutil
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cli.test_cli_completion import complete
from conftest import Invoke, make_bundle

from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decisions import Decision


@pytest.fixture
def place(indexed: Path, invoke: Invoke, tmp_path: Path) -> Path:
    """The current folder, with an index."""
    shutil.copytree(indexed, tmp_path / "index")
    return tmp_path


def hits(invoke: Invoke, *words: Any) -> list[dict[str, Any]]:
    result = invoke("search", *words, "--json", "--top", 50, "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def decide(hit: dict[str, Any], label: str, value: str, ledger: str = "decisions.jsonl", **more: Any) -> None:
    content = (Path(hit["root"]) / hit["path"]).read_bytes()
    facts = {"by": "person", "source": getpass.getuser(), "at": "2026-11-29T10:00:00Z"} | more
    with Path(ledger).open("ab") as stream:
        entry = Decision(sha256=sha256(content).hexdigest(), label=label, value=value, **facts)
        stream.write(decisions.encode(entry))


def test_decisions_are_seen_in_every_form_of_output(place: Path, invoke: Invoke) -> None:
    before = hits(invoke, "grass")
    decide(before[-1], "grass", "yes")
    decide(before[0], "Grass", "no", source="anna")
    after = hits(invoke, "grass")
    assert [hit["path"] for hit in after] == [each["path"] for each in (before[-1], *before[1:-1])]
    best = after[0]
    assert (best["score"], best["label_scores"], "grass" in best["labels"]) == (1.0, {"grass": 1.0}, True)
    assert best["decided"]["grass"]["value"] == "yes"
    assert after[1]["decided"] == {}
    assert hits(invoke, "grass", "--no-decisions") == before
    assert invoke("search", "grass", "--csv", "-t1").stdout.splitlines()[1].startswith("1.0,")
    assert invoke("search", "grass", "-t1", "--html", "page.html").exit_code == 0
    assert "grass 1.00" in (place / "page.html").read_text()
    opposite = hits(invoke, "-grass")
    assert opposite[0]["path"] == before[0]["path"]
    assert "grass" not in opposite[0]["labels"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "decided by you on 2026-11-29"),
        ({"source": "anna b."}, "decided by anna b. on 2026-11-29"),
        ({"by": "file", "source": "xmp"}, "decided by a file (xmp) on 2026-11-29"),
        ({"by": "file", "source": ""}, "decided by a file on 2026-11-29"),
        ({"by": "model", "source": "x", "at": ""}, "decided by a model (x)"),
    ],
)
def test_an_explanation_says_who_decided(facts: dict[str, Any], said: str, place: Path, invoke: Invoke) -> None:
    decide(hits(invoke, "grass")[5], "grass", "yes", **facts)
    lines = invoke("search", "grass", "--explain", "-t2", "-q").stdout.splitlines()
    assert lines[0].split("\t")[2:] == ["grass", "1.000", f"grass 1.00 ({said})"]
    assert "decided" not in "".join(lines[1:])


def test_labels_are_counted_as_decided(place: Path, invoke: Invoke) -> None:
    def rows() -> dict[str, dict[str, Any]]:
        found = map(json.loads, invoke("labels", "--json", "-q").stdout.splitlines())
        return {each["label"]: each for each in found}

    before, found = rows(), hits(invoke, "grass")
    without = [hit for hit in found if "grass" not in hit["labels"]]
    having = [hit for hit in found if "grass" in hit["labels"]]
    decide(without[0], "grass", "yes")
    decide(having[0], "grass", "no")
    decide(having[1], "grass", "no")
    for hit in found[:3]:
        decide(hit, "grandma", "yes")
    after = rows()
    assert after["grass"]["images"] == before["grass"]["images"] - 1
    assert (after["grass"]["decided_yes"], after["grass"]["decided_no"]) == (1, 2)
    assert after["grandma"]["images"] == 3
    assert after["dog"] == before["dog"]
    assert "       3  grandma  (no model knows it; decided: 3 yes, 0 no)" in invoke("labels").stdout
    assert invoke("labels", "--no-decisions", "-q").stdout.count("\n") == len(before)
    assert len(hits(invoke, "grandma")) == 3
    assert complete("aaam-pipe search gran", place) == ["grandma"]
    assert complete("aaam-pipe search --no-decisions gran", place) == []


def test_what_a_command_decides_acts_on_the_next_search_and_is_taken_back(place: Path, invoke: Invoke) -> None:
    before = hits(invoke, "grass")
    last, first = (str(Path(hit["root"]) / hit["path"]) for hit in (before[-1], before[0]))
    assert invoke("decide", last, "--yes", "grass", "-q").exit_code == 0
    assert invoke("decide", first, "--no", "grass", "-q").exit_code == 0
    after = hits(invoke, "grass")
    assert [hit["path"] for hit in after] == [hit["path"] for hit in (before[-1], *before[1:-1])]
    today = datetime.now(UTC).date().isoformat()
    assert f"grass 1.00 (decided by you on {today[:8]}" in invoke("search", "grass", "--explain", "-t1", "-q").stdout
    assert invoke("decisions", "undo", "2", "-q").exit_code == 0
    assert hits(invoke, "grass") == before


def test_copies_are_shown_as_decided(place: Path, invoke: Invoke) -> None:
    best = hits(invoke, "grass")[0]
    (place / "photos").mkdir()
    for name in ("one.jpg", "copy.jpg"):
        shutil.copy(Path(best["root"]) / best["path"], place / "photos" / name)
    decide(best, "grandma", "yes")
    assert invoke("annotate", "photos", "--model", make_bundle(place / "model"), "-q").exit_code == 0
    assert invoke("index", "--out", "index2", "-q").exit_code == 0
    assert invoke("dedup", "--index", "index2", "--html", "copies.html", "-q").exit_code == 0
    # as caption and as the text for those who do not see the picture
    assert (place / "copies.html").read_text().count("grandma") == 2 * 2
    page = "dedup", "--index", "index2", "--html", "copies.html", "-q"
    assert invoke(*page, "--no-decisions").exit_code == 0
    assert "grandma" not in (place / "copies.html").read_text()
    (place / "decisions.jsonl").rename("named.jsonl")
    assert invoke(*page, "--decisions", "named.jsonl").exit_code == 0
    assert "grandma" in (place / "copies.html").read_text()


def test_a_word_that_was_only_decided_is_nothing_to_review(place: Path, invoke: Invoke) -> None:
    decide(hits(invoke, "grass")[0], "grandma", "yes")
    result = invoke("review", "--label", "grandma", "--index", "index")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: 'grandma' is not a label")


def test_a_ledger_is_named_by_option_and_variable(place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    last = hits(invoke, "grass")[-1]
    decide(last, "grass", "yes", "other.jsonl")
    assert hits(invoke, "grass")[-1]["path"] == last["path"]
    assert hits(invoke, "grass", "--decisions", "other.jsonl")[0]["path"] == last["path"]
    similar = invoke("similar", Path(last["root"]) / last["path"], "--query", "grass", "--decisions", "other.jsonl")
    assert similar.exit_code == 0
    monkeypatch.setenv("AAAM_DECISIONS", "other.jsonl")
    assert hits(invoke, "grass")[0]["path"] == last["path"]
    assert hits(invoke, "grass", "--no-decisions")[-1]["path"] == last["path"]
    # named for all commands, before anything was decided
    monkeypatch.setenv("AAAM_DECISIONS", "later.jsonl")
    assert hits(invoke, "grass")[-1]["path"] == last["path"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--decisions", "gone.jsonl"], "there are no decisions at gone.jsonl"),
        (["--decisions", "index"], "index is a folder; --decisions names a file"),
        (["--decisions", "x.jsonl", "--no-decisions"], "--decisions and --no-decisions exclude each other"),
    ],
)
@pytest.mark.parametrize("command", [["search", "grass"], ["labels"]])
def test_wrong_options_are_one_line(
    command: list[str], options: list[str], said: str, place: Path, invoke: Invoke
) -> None:
    result = invoke(*command, "--index", "index", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {said}")
    assert result.stderr.count("\n") == 1


def test_damaged_lines_are_said_and_an_unreadable_ledger_is_an_error(place: Path, invoke: Invoke) -> None:
    decide(hits(invoke, "grass")[-1], "grass", "yes")
    with (place / "decisions.jsonl").open("a") as stream:
        stream.write("nonsense\n")
    for command in (["search", "grass"], ["labels"], ["similar", next(iter(hits(invoke, "dog")))["path"]]):
        result = invoke(*command, "--index", "index")
        assert "1 line" in result.stderr or command[0] == "similar"
    if os.geteuid():
        (place / "decisions.jsonl").chmod(0)
    else:
        (place / "decisions.jsonl").unlink()
        (place / "decisions.jsonl").symlink_to("decisions.jsonl")
    result = invoke("search", "grass", "--index", "index")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot read the decisions")
    assert result.stderr.count("\n") == 1
    assert invoke("search", "grass", "--index", "index", "--no-decisions").exit_code == 0
