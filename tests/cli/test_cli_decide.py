"""`aaam-pipe decide`: photographs by every name that they have, and nothing half-made."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import Invoke
from typer.testing import CliRunner

from aaam_pipeline.cli import decided
from aaam_pipeline.cli.app import app
from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.formats.decisions import read
from aaam_pipeline.index import manifest
from aaam_pipeline.search import open as open_index

LEDGER = Path("decisions.jsonl")
Decide = Callable[..., Result]


@pytest.fixture
def decide(invoke: Invoke, indexed: Path, photos: Path, tmp_path: Path) -> Decide:
    """Decide in an empty folder that has an index, and a copy of the photographs."""
    shutil.copytree(indexed, tmp_path / "index")
    shutil.copytree(photos, tmp_path / "photos")
    return lambda *words: invoke("decide", *words)


def values(path: Path = LEDGER) -> list[tuple[str, str, str]]:
    return [(sha256, label, verdict.value) for sha256, label, verdict in read(path).verdicts()]


def sha(name: str) -> str:
    return file_sha256(Path("photos") / name)


def test_words_are_decided_of_photographs_with_what_the_model_gave(decide: Decide, indexed: Path) -> None:
    done = decide("photos/001.jpg", "photos/002.jpg", "--yes", "dog", "--no", "traffic light", "--source", "anna")
    assert done.exit_code == 0
    assert done.stdout == ""
    said = "4 decisions on 2 photographs written to decisions.jsonl; aaam-pipe decisions undo takes them back\n"
    assert done.stderr == said
    expected = [(label, value) for _ in range(2) for label, value in (("dog", "yes"), ("traffic light", "no"))]
    assert [each[1:] for each in values()] == expected
    verdict = read(LEDGER).of_image(sha("001.jpg"))["dog"]
    with open_index(indexed) as opened:
        [hit] = [hit for hit in opened.query("dog", 24) if hit.path == "001.jpg"]
    assert verdict.score == pytest.approx(hit.score, abs=1e-4)
    assert (verdict.model, verdict.by, verdict.source) == (manifest.read(indexed).model_id, "person", "anna")
    assert len({line["batch"] for line in map(json.loads, LEDGER.read_text().splitlines())}) == 1


def test_json_is_the_lines_that_are_written_and_dry_run_writes_none(decide: Decide) -> None:
    words = ("photos/001.jpg", "--clear", "dog", "--json")
    done = decide(*words, "--dry-run", "-q")
    assert done.stderr == ""
    assert not LEDGER.exists()
    assert json.loads(done.stdout)["value"] == "clear"
    written = json.loads(decide(*words).stdout)
    assert written.pop("image") == "photos/001.jpg"
    assert written == json.loads(LEDGER.read_text())


def test_names_come_from_standard_input(decide: Decide, invoke: Invoke) -> None:
    listed = invoke("search", "dog", "-0", "-t", "3", "--existing").stdout_bytes
    assert listed.count(b"\0") == 3
    run = CliRunner()
    done = run.invoke(app, ["decide", "-0", "-", "--no", "dog"], input=listed)
    assert done.exit_code == 0, done.stderr
    assert [each[1:] for each in values()] == [("dog", "no")] * 3
    done = run.invoke(
        app, ["decide", "photos/005.jpg", "-", "--yes", "dog"], input="photos/004.jpg\n\nphotos/004.jpg\r\n"
    )
    assert [each[0] for each in values()[3:]] == [sha("005.jpg"), sha("004.jpg")]
    done = run.invoke(app, ["decide", "-", "--yes", "dog"], input="")
    assert (done.exit_code, done.stderr) == (0, "nothing to decide, and nothing is written\n")


def test_a_photograph_that_is_away_is_taken_from_the_index(
    decide: Decide, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sha("001.jpg")
    away = photos.with_name("away")
    photos.rename(away)
    try:
        done = decide(str(photos / "001.jpg"), "--yes", "dog")
    finally:
        away.rename(photos)
    assert done.exit_code == 0
    assert "001.jpg is not at hand; its hash is the index's, of when it was annotated" in done.stderr
    assert values() == [(content, "dog", "yes")]


def test_what_the_index_has_not_is_decided_all_the_same(decide: Decide, tmp_path: Path) -> None:
    new = Path("new.jpg")
    new.write_bytes(Path("photos/001.jpg").read_bytes() + b"changed")
    done = decide(
        "new.jpg", "photos/002.jpg", "photos/002.jpg", "--yes", "dgo", "--yes", "people", "--yes", "puppy dog"
    )
    assert done.exit_code == 0
    assert "1 photograph is not in the index, or changed since" in done.stderr
    assert "'dgo' is no word of the model: it is kept as a word of your own; did you mean dog?\n" in done.stderr
    assert (
        "'people' is no word of the model: it is kept as a word of your own; a search for it is one for" in done.stderr
    )
    assert len(values()) == 6
    # a word of one's own is remarked on once, and no longer when it is known
    assert "'dgo'" not in decide("new.jpg", "--no", "DGO").stderr


def test_without_an_index_the_ledger_lies_here(invoke: Invoke, photos: Path) -> None:
    done = invoke("decide", photos / "001.jpg", "--yes", "dog")
    assert done.exit_code == 0
    assert read(LEDGER).of_image(file_sha256(photos / "001.jpg"))["dog"].score is None


def test_an_index_that_cannot_be_used_keeps_nobody_from_deciding(decide: Decide) -> None:
    (Path("index") / "scores.duckdb").write_text("damaged")
    done = decide("photos/001.jpg", "--yes", "dog")
    assert done.exit_code == 0
    assert "without the index" in done.stderr
    assert len(values()) == 1
    assert decide("photos/001.jpg", "--yes", "dog", "--index", "index").exit_code == 4


def test_the_ledger_lies_beside_the_index_or_where_it_is_named(
    decide: Decide, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    shutil.move("index", "project/index")
    assert decide("photos/001.jpg", "--yes", "dog", "-q").exit_code == 0
    assert values(Path("project/decisions.jsonl"))
    monkeypatch.setenv("AAAM_DECISIONS", "mine.jsonl")
    assert decide("photos/001.jpg", "--yes", "dog", "-q").exit_code == 0
    assert decide("photos/001.jpg", "--yes", "dog", "-q", "--decisions", "other.jsonl").exit_code == 0
    assert len(values(Path("mine.jsonl"))) == len(values(Path("other.jsonl"))) == 1


DOG = ("--yes", "dog")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a word: --yes dog, --no cat, --clear bird"),
        (["photos/001.jpg"], "name a word: --yes dog, --no cat, --clear bird"),
        ([*DOG], "name photographs, or - to read their names from standard input"),
        (["photos/001.jpg", *DOG, "--no", "DOG"], "'DOG' is given with --yes and with --no; nothing was decided"),
        (["photos/001.jpg", *DOG, "--yes", "Dog"], "'dog' and 'Dog' are one word; name it once"),
        (["photos/001.jpg", "--yes", " "], "--yes: a word is empty; nothing was decided"),
        (["photos/001.jpg", "--no", "\u200b"], "--no: a word is empty; nothing was decided"),
        (["photos/001.jpg", "--no", "a\nb"], "a word has no control characters"),
        (["photos", *DOG], "photos is a folder; name photographs, such as photos/*.jpg"),
        (["photos/001.jpg", "none.jpg", *DOG], "no photograph none.jpg, neither as a file nor in the index index"),
        (["001.jpg", *DOG], "nor in the index index; did you mean /"),
        (["empty.jpg", *DOG], "empty.jpg has no bytes, and is no photograph; nothing was decided"),
        (["https://example.org/a.jpg", *DOG], "no photograph https://example.org/a.jpg, neither"),
        (["notes.txt", *DOG], "notes.txt is no photograph; lists of photographs: -"),
        (["a\0b", *DOG], "nothing was decided"),
        (["", *DOG], "an argument is empty"),
        (["-", "-", *DOG], "- is named twice"),
        (["-0", "photos/001.jpg", *DOG], "-0 is for names on standard input"),
        (["--from", "x.csv", *DOG], "--from names photographs and words itself"),
        (["--from", "none.csv"], "none.csv"),
        (["photos/001.jpg", *DOG, "--by", "dog"], "--by"),
        (["photos/001.jpg", *DOG, "--decisions", "photos"], "photos is a folder; --decisions names a file"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(words: list[str], said: str, decide: Decide) -> None:
    Path("notes.txt").write_text("no photograph")
    Path("empty.jpg").touch()
    done = decide(*words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert done.stderr.strip().splitlines()[-1].lower().startswith("error: ")
    assert done.stdout == ""
    assert not list(Path().rglob("decisions.jsonl*"))


def test_an_unreadable_photograph_decides_nothing(decide: Decide, monkeypatch: pytest.MonkeyPatch) -> None:
    real = decided.file_sha256

    def fail(path: Path) -> str:
        if path.name == "002.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(decided, "file_sha256", fail)
    done = decide("photos/001.jpg", "photos/002.jpg", *DOG)
    assert done.exit_code == 2
    assert done.stderr == "error: photos/002.jpg cannot be read: Permission denied; nothing was decided\n"
    assert not LEDGER.exists()


def test_words_of_every_script_are_kept_as_they_are(decide: Decide) -> None:
    words = ["a, b", "a/b", "a|b", "🐕", "собака", "犬", "Ku\u0308ste", "=1+1", "x" * 500, "'quoted'"]
    options = [part for word in words for part in ("--yes", word)]
    assert decide("photos/001.jpg", *options, "-q").exit_code == 0
    assert read(LEDGER).labels == [word.replace("u\u0308", "ü") for word in words]


def table(name: str, *lines: str) -> Path:
    Path(name).write_text("\n".join(lines) + "\n")
    return Path(name)


def test_a_table_decides(decide: Decide) -> None:
    done = decide(
        "--from",
        table("t.csv", "image,label,value", "photos/001.jpg,dog,yes", "photos/002.jpg,dog,0", "photos/001.jpg,cat,"),
    )
    assert done.exit_code == 0
    assert values() == [(sha("001.jpg"), "dog", "yes"), (sha("002.jpg"), "dog", "no")]
    assert read(LEDGER).of_image(sha("001.jpg"))["dog"].score is not None
    # names begin in the folder of the table; one column a label does, too
    done = decide("--from", table("photos/wide.csv", "path;cat;dog", "003.jpg;1;false"))
    assert done.exit_code == 2
    done = decide("--from", table("photos/wide.csv", "path;cat;dog", "holiday/003.jpg;1;false", "001.jpg;;-1"))
    assert [each[1:] for each in values()[2:]] == [("cat", "yes"), ("dog", "no")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["image,label,value", "photos/001.jpg,dog,maybe"], "t.csv, line 2, 'dog': 'maybe' is neither yes"),
        (["image,label", "photos/001.jpg,dog", "none.jpg,dog"], "none.jpg"),
        (["image,label,value", "photos/001.jpg,dog,1", "photos/001.jpg,Dog,0"], "is yes in line 2 and no in line 3"),
        (["photo,words", "a,b"], "its first line must be a heading"),
        (["image,label,Label", "a,b,c"], "its heading has label twice"),
        (["sha256,label", "abc,dog"], "line 2: 'abc' is no SHA-256"),
        (["image,label", ",dog"], "line 2: it names no photograph"),
        (["image,label", "a,b,c"], "line 2: it has more cells than the heading"),
        (["image,label,by", "photos/001.jpg,dog,me"], "by is person, file or model, not 'me'"),
        (["image,label,score", "photos/001.jpg,dog,high"], "the score 'high' is no number"),
        ([""], "its first line must be a heading"),
    ],
)
def test_a_table_that_is_wrong_is_one_line(lines: list[str], said: str, decide: Decide) -> None:
    done = decide("--from", table("t.csv", *lines))
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not LEDGER.exists()


def test_other_files_than_tables_are_refused(decide: Decide) -> None:
    Path("t.csv").write_bytes("image,label\nphotos/001.jpg,Küste\n".encode("latin1"))
    assert "t.csv is not text in UTF-8" in decide("--from", "t.csv").stderr
    assert "decisions are read from .csv and .jsonl files" in decide("--from", "photos/001.jpg").stderr
    table("t.jsonl", "{}", "oh")
    assert "line 1: it names no photograph" in decide("--from", "t.jsonl").stderr
    assert "line 1: this is no JSON object" in decide("--from", table("u.jsonl", "[1]")).stderr


def test_a_full_disk_is_one_line_and_the_ledger_is_as_it_was(decide: Decide, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decide("photos/001.jpg", *DOG).exit_code == 0
    before = LEDGER.read_bytes()

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        done = decide("photos/002.jpg", *DOG, "--json")
    assert done.exit_code == 1
    assert "no room on the disk" in done.stderr
    assert done.stdout == ""
    assert LEDGER.read_bytes() == before
