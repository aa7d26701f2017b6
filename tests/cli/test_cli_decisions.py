"""`aaam-pipe decisions`: what holds, what it was, and how it is taken back, moved, merged and checked."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Invoke

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.formats.decisions import Decision, Inheritance, encode, read

LEDGER = Path("decisions.jsonl")


@pytest.fixture
def run(invoke: Invoke, indexed: Path, photos: Path, tmp_path: Path) -> Iterator[Any]:
    """Run a command in a folder with an index, photographs and some decisions; it must end with 0."""
    shutil.copytree(indexed, tmp_path / "index")
    shutil.copytree(photos, tmp_path / "photos")
    one, two, three = (file_sha256(photos / name) for name in ("001.jpg", "002.jpg", "004.jpg"))
    Ledger(LEDGER).append(
        [
            said(one, "dog", "yes", at="2026-01-01T00:00:00Z", batch="first"),
            said(two, "dog", "no", at="2026-01-01T00:00:00Z", batch="first"),
            said(one, "my cat", "yes", "file", at="2026-02-01T00:00:00Z", source="xmp", batch="second"),
            said("e" * 64, "my cat", "yes", at="2026-03-01T00:00:00Z", batch="third"),
            said(three, "dog", "clear", at="2026-03-01T00:00:00Z", batch="third"),
        ]
    )

    def ended(*words: Any, code: int = 0) -> Any:
        done = invoke(*words)
        assert done.exit_code == code, done.output
        return done

    yield ended
    # whatever the command was: nothing beside the ledger is left
    assert not [path.name for path in Path().glob(".*") if path.name.startswith(".decisions")]


def said(sha256: str, label: str, value: Any, by: Any = "person", source: str = "anna", **more: Any) -> Decision:
    return Decision(sha256=sha256, label=label, value=value, by=by, source=source, **more)


def listed(run: Any, *words: Any) -> list[tuple[str, str, str]]:
    rows = map(json.loads, run("decisions", "list", "--json", *words).stdout.splitlines())
    return [
        (Path(row["image"]).name if row["image"] else row["sha256"][:3], row["label"], row["value"]) for row in rows
    ]


ALL = [("001.jpg", "dog", "yes"), ("002.jpg", "dog", "no"), ("001.jpg", "my cat", "yes"), ("eee", "my cat", "yes")]


def test_what_holds_is_listed_and_filtered(run: Any) -> None:
    assert listed(run) == ALL
    assert listed(run, "--label", "DOG") == ALL[:2]
    assert listed(run, "--value", "no") == ALL[1:2]
    assert listed(run, "--by", "file") == listed(run, "--source", "xmp") == ALL[2:3]
    assert listed(run, "--photo", "photos/001.jpg") == [ALL[0], ALL[2]]
    assert listed(run, "--photo", "E" * 64) == ALL[3:]
    assert listed(run, "--since", "2026-02-01") == ALL[2:]
    assert listed(run, "--since", "2026-02-01T02:30:00+02:00") == ALL[3:]
    assert listed(run, "--label", "bird") == []
    lines = run("decisions", "list").stdout.splitlines()
    assert lines[3] == "2026-03-01T00:00:00Z\tyes\tmy cat\teeeeeeeeeeee\tperson anna"
    assert "2026" in run("decisions", "list", "--since", "x", code=2).stderr


def test_history_has_every_line_in_its_order(run: Any) -> None:
    Ledger(LEDGER).append([Inheritance(sha256="f" * 64, same_as="e" * 64, source="keywords")])
    rows = [json.loads(line) for line in run("decisions", "list", "--history", "--json").stdout.splitlines()]
    assert [row.get("value", "same") for row in rows] == ["yes", "no", "yes", "yes", "clear", "same"]
    assert "same as\teeeeeeeeeeee\tffffffffffff\tfile keywords" in run("decisions", "list", "--history").stdout
    assert listed(run, "--photo", "f" * 64) == ALL[3:]


def test_commands_are_listed_and_taken_back_one_after_the_other(run: Any) -> None:
    lines = run("decisions", "list", "--commands").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["third", "second", "first"]
    before = LEDGER.read_bytes()
    assert "would be: taken back: third (2 decisions: my cat, dog)" in run("decisions", "undo", "--dry-run").stderr
    assert LEDGER.read_bytes() == before
    done = run("decisions", "undo")
    assert done.stderr == (
        "taken back: third (2 decisions: my cat, dog); aaam-pipe decisions undo --command undo-third brings it again\n"
    )
    assert listed(run) == ALL[:3]
    rows = [json.loads(line) for line in run("decisions", "undo", "2", "--json").stdout.splitlines()]
    assert {row["batch"] for row in rows} == {"undo-second", "undo-first"}
    assert all(row["at"] for row in rows)
    assert listed(run) == []
    assert "there is nothing to take back" in run("decisions", "undo").stderr
    run("decisions", "undo", "--command", "undo-first")
    assert listed(run) == ALL[:2]
    assert LEDGER.read_bytes().startswith(before)
    found = [json.loads(line) for line in run("decisions", "list", "--commands", "--json").stdout.splitlines()]
    assert [each["undone"] for each in found] == [True, True, False]
    assert "is taken back already" in run("decisions", "undo", "--command", "third", code=2).stderr
    assert "no command x in decisions.jsonl" in run("decisions", "undo", "--command", "x", code=2).stderr


def test_what_is_decided_of_a_word_or_a_photograph_is_taken_back(run: Any) -> None:
    run("decisions", "undo", "--label", "my cat")
    assert listed(run) == ALL[:2]
    run("decisions", "undo")
    assert listed(run) == [*ALL[:2], *ALL[2:]]
    run("decisions", "undo", "--photo", "photos/001.jpg", "--label", "dog")
    assert listed(run) == ALL[1:]
    assert run("decisions", "undo", "--label", "dog", "3", code=2).stderr.startswith("error: name a number, --command")


def test_a_table_that_was_exported_says_the_same_elsewhere(run: Any) -> None:
    words = ["=1+1", "a, b", "'quoted'", "🐕", 'say "no"', "a|b/c"]
    Ledger(LEDGER).append(
        [said("d" * 64, word, "no", score=0.25, model="net", at="2026-04-01T00:00:00Z") for word in words]
    )
    for name in ("out.csv", "out.jsonl"):
        assert run("decisions", "export", name).stderr == f"10 decisions written to {name}\n"
        assert f"{name} is there already" in run("decisions", "export", name, code=2).stderr
        run("decisions", "export", name, "--force", "-q")
        other = f"other-{name}.jsonl"
        run("decisions", "import", name, "--decisions", other)
        assert list(read(Path(other)).verdicts()) == list(read(LEDGER).verdicts())
        before = Path(other).read_bytes()
        done = run("decisions", "import", name, "--decisions", other)
        assert "10 decisions of the table hold already" in done.stderr
        assert Path(other).read_bytes() == before
    rows = list(csv.DictReader(io.StringIO(run("decisions", "export", "-", "--label", "dog").stdout)))
    assert [Path(row["image"]).name for row in rows] == ["001.jpg", "002.jpg"]
    assert rows[0]["value"] == "yes"
    run("decisions", "export", "dry.csv", "--dry-run")
    assert not Path("dry.csv").exists()
    assert "name a file that ends in .csv or .jsonl" in run("decisions", "export", "photos/x", code=2).stderr


def test_no_export_replaces_a_ledger(run: Any) -> None:
    shutil.copy(LEDGER, "other.jsonl")
    Path("conflict.jsonl").write_bytes(b"<<<<<<< HEAD\n" + LEDGER.read_bytes())
    for name in (LEDGER.name, "other.jsonl", "conflict.jsonl"):
        before = Path(name).read_bytes()
        for words in (("decisions", "export", name, "--force"), ("export", "jsonl", name, "--overwrite")):
            said_of_it = run(*words, code=2).stderr
            assert f"error: {name} is a ledger of decisions, and is never replaced; name another file" in said_of_it
            assert Path(name).read_bytes() == before


def test_an_import_ranks_below_what_a_person_said(run: Any) -> None:
    Path("labels.csv").write_text("image,label,value\n001.jpg,dog,no\nholiday/003.jpg,Dog,yes\n002.jpg,dog,no\n")
    done = run("decisions", "import", "labels.csv", "--root", "photos")
    assert "1 decision of the table holds already" in done.stderr
    assert "2 decisions on 2 photographs written" in done.stderr
    assert listed(run, "--label", "dog") == [*ALL[:2], ("003.jpg", "dog", "yes")]
    [row] = map(json.loads, run("decisions", "list", "--json", "--by", "file", "--label", "dog").stdout.splitlines())
    assert row["source"] == "import labels.csv"
    run("decisions", "import", "labels.csv", "--root", "photos", "--by", "person")
    assert ("001.jpg", "dog", "no") in listed(run)
    assert run("decisions", "import", "labels.csv", code=2).stderr.startswith("error: no photograph")


def test_ledgers_are_merged_and_merging_again_changes_nothing(run: Any) -> None:
    other, third = Path("other.jsonl"), Path("third.jsonl")
    other.write_bytes(LEDGER.read_bytes() + encode(said("a" * 64, "dog", "yes", at="2026-05-01T00:00:00Z")))
    third.write_bytes(encode(said("b" * 64, "dog", "yes", at="2025-01-01T00:00:00Z")) + b"oh\n")
    before = LEDGER.read_bytes()
    run("decisions", "merge", other, third, "--dry-run")
    assert LEDGER.read_bytes() == before
    done = json.loads(run("decisions", "merge", other, third, "--json").stdout)
    assert done == {"ledger": "decisions.jsonl", "lines": 8, "before": 5, "changed": True}
    assert Path("decisions.jsonl.before").read_bytes() == before
    assert listed(run)[0] == ("bbb", "dog", "yes")
    assert run("decisions", "merge", third, other).stderr == "decisions.jsonl: nothing new; 8 lines, 8 before\n"
    assert "no such file" in run("decisions", "merge", "none.jsonl", code=2).stderr
    assert "001.jpg is no ledger" in run("decisions", "merge", "photos/001.jpg", code=2).stderr
    assert "no marks of a conflict" in run("decisions", "merge", code=2).stderr
    ours, theirs = (encode(said(each * 64, "dog", "no")) for each in "ab")
    marks = b"<<<<<<< HEAD\n" + ours + b"=======\n" + theirs + b">>>>>>> other\n"
    LEDGER.write_bytes(before + marks)
    assert "a mark of a conflict of git" in run("decisions", "list").stderr
    run("decisions", "merge")
    assert LEDGER.read_bytes() == before + ours + theirs


def test_verify_names_what_cannot_be_read(run: Any) -> None:
    sound = run("decisions", "verify").stdout
    assert sound == "decisions.jsonl: sound; 4 decisions (3 yes, 1 no) of 2 words and 3 photographs, in 5 lines\n"
    facts = json.loads(run("decisions", "verify", "--json").stdout)
    assert (facts["person"], facts["file"], facts["faults"]) == (3, 1, [])
    lines = LEDGER.read_bytes().splitlines(keepends=True)
    LEDGER.write_bytes(b"".join([*lines[:2], b"\0\0\n", *lines[2:], b'{"sha256": "ab']))
    done = run("decisions", "verify", code=4)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "decisions.jsonl, line 3",
        "decisions.jsonl, line 7",
    ]
    assert "2 lines of 7 cannot be read, the others hold; the next decision moves the cut one away" in done.stderr
    facts = json.loads(run("decisions", "verify", "--json", code=4).stdout)
    assert facts["faults"][1] == {"line": 7, "why": "it is cut off"}
    assert "line 3 (" in run("decisions", "list").stderr
    assert listed(run) == ALL
    run("decisions", "verify", "--repair")
    assert LEDGER.read_bytes() == b"".join(lines)
    assert Path("decisions.jsonl.cut").read_bytes() == b'\0\0\n{"sha256": "ab\n'
    assert "no ledger yet" in run("decisions", "verify", "--decisions", "none.jsonl", code=2).stderr


def test_doctor_shows_the_ledger(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with LEDGER.open("ab") as stream:
        stream.write(b"oh\n")
    fact = json.loads(run("doctor", "--json").stdout)["decisions"]
    assert fact.startswith("decisions.jsonl (4 decisions, 2 words; decisions: 1 line left out")
    monkeypatch.setenv("AAAM_DECISIONS", "mine.jsonl")
    assert json.loads(run("doctor", "--json").stdout)["decisions"].startswith("none (mine.jsonl;")
