"""What is wrong is one line; nothing is overwritten, and what is half written goes."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Invoke, make_photo
from exchange.exported import annotated_rows, decide

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.exchange.exporters import pictures, run, yolo
from aaam_pipeline.exchange.exporters.rows import _split
from aaam_pipeline.exchange.exporters.run import FORMATS


@pytest.fixture
def here(annotated: Path, tmp_path: Path, invoke: Invoke) -> Path:
    """The current folder, with annotations of photographs that lie elsewhere."""
    shutil.copytree(annotated, tmp_path / "annotations")
    return tmp_path


def said(result: object) -> str:
    """The one line of an error."""
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cocoa", "a.json"], "'cocoa' is not a format; did you mean coco? formats: csv, jsonl, coco, yolo,"),
        (["HuggingFace", "a"], "'HuggingFace' is not a format; did you mean imagefolder? formats: csv,"),
        (["parquet", "a.json"], "'parquet' is not a format; formats: csv, jsonl"),
        (["csv", "a.txt"], "a.txt: csv is a file, name one that ends in .csv"),
        (["csv", "a.csv", "--copy"], "--copy: csv holds no photographs"),
        (["coco", "a.json", "--link"], "--link: coco holds labels alone"),
        (["webdataset", "a", "--link"], "--link: webdataset holds copies alone"),
        (["yolo", "a", "--link", "--copy"], "--copy and --link exclude each other"),
        (["yolo", "a", "--split", "val=2"], "--split val=2: write val=0.1 or test=0.1"),
        (["yolo", "a", "--split", "train=0.5"], "--split train=0.5: write val=0.1"),
        (["yolo", "a", "--split", "val=0.5", "--split", "test=0.5"], "nothing is left for train"),
        (["fiftyone", "a", "--split", "val=0.5"], "--split: fiftyone has no splits"),
        (["csv", "a.csv", "--labels", " , "], "--labels names no label"),
        (["csv", "a.csv", "--labels", "grass,dgo"], "'dgo' is not a label; did you mean dog?"),
        (["csv", "a.csv", "--threshold", "50"], "--threshold must be from 0 to 1, not 50"),
        (["csv", "a.csv", "--annotations", "nowhere"], "nowhere is not an annotations folder: nothing is there"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], expected: str, here: Path, invoke: Invoke) -> None:
    assert expected in said(invoke("export", *words))
    assert [path.name for path in here.iterdir()] == ["annotations"]


def test_nothing_is_overwritten_unless_asked(here: Path, invoke: Invoke) -> None:
    (here / "a.csv").write_text("mine")
    assert "a.csv exists; name another output, or replace it with --overwrite" in said(invoke("export", "csv", "a.csv"))
    assert (here / "a.csv").read_text() == "mine"
    assert invoke("export", "csv", "a.csv", "--overwrite").exit_code == 0
    assert (here / "a.csv").read_text().startswith("image,label,value")


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.holds_pictures])
def test_a_folder_that_was_not_exported_is_never_replaced(name: str, here: Path, invoke: Invoke) -> None:
    make_photo(here / "pictures" / "a.jpg", 1)
    message = said(invoke("export", name, "pictures", "--overwrite"))
    assert "pictures was not written by `aaam-pipe export`, and is never replaced" in message
    assert "annotations was not written" in said(invoke("export", name, "annotations", "--overwrite"))
    assert [path.name for path in (here / "pictures").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_dry_run_writes_nothing_and_says_the_same(name: str, here: Path, invoke: Invoke) -> None:
    out = f"out{FORMATS[name].suffix}"
    rows = annotated_rows(here / "annotations")
    decide(here / "decisions.jsonl", rows, (0, "unicorn", "yes"), (1, "dog", "no"))
    planned = json.loads(invoke("export", name, out, "--dry-run", "--json").stdout)
    assert sorted(path.name for path in here.iterdir()) == ["annotations", "decisions.jsonl"]
    done = json.loads(invoke("export", name, out, "--json").stdout)
    assert planned == done | {"dry_run": True}
    assert done["decided"] == 1


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.holds_pictures])
@pytest.mark.parametrize("copy", [True, False])
def test_photographs_that_are_gone_are_named(
    name: str, copy: bool, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    if FORMATS[name].only_copies and not copy:
        return
    # two of one name but for the suffix, and a name that an other program could take for its own
    for number, file in enumerate(["a.jpg", "a.png", "A/images/b.jpg", "A/-c\n.jpg", "gone.jpg"]):
        make_photo(tmp_path / "photos" / file, number)
    runner.annotate(inputs.find([Path("photos")]), tiny_bundle, Path("annotations"), runner.Options(), NullReporter())
    rows = annotated_rows(Path("annotations"))
    decide(Path("decisions.jsonl"), rows, *((row, "here", "yes") for row in range(len(rows))))
    Path("photos/gone.jpg").unlink()
    words = ["--copy"] if copy else []
    result = invoke("export", name, "out", *words)
    assert result.exit_code == 3
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "1 photograph left out (1 not there)" in line
    assert line.endswith("photos/gone.jpg")
    if name != "webdataset":
        placed = [path for path in Path("out").rglob("*") if path.suffix in (".jpg", ".png")]
        assert len(placed) == 4
        assert all(path.is_symlink() != copy and path.stat().st_size for path in placed)
        assert not any("\n" in path.name for path in placed)
        assert len({path.with_suffix("").as_posix().lower() for path in placed}) == 4


@pytest.mark.parametrize("path", ["../../outside.jpg", "/etc/outside.jpg"])
def test_no_photograph_is_put_outside(path: str, tmp_path: Path) -> None:
    source = make_photo(tmp_path / "outside.jpg", 1)
    row = run.ExportRow(path, str(tmp_path / "x" / "y"), "0" * 64, 1, 1, None, None, [], [], None, "train")
    (tmp_path / "x" / "y").mkdir(parents=True)
    placer = pictures.Pictures(tmp_path / "out" / "deep", link=False)
    placer.find = lambda _: source  # type: ignore[method-assign]
    name = placer.place(row, "images")
    assert name is not None
    assert (tmp_path / "out" / "deep" / "images" / name).is_file()


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_leaves_nothing_behind(
    name: str, here: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out")

    monkeypatch.setattr(run, "_count", _after(9, full))
    result = invoke("export", name, f"out{FORMATS[name].suffix}")
    assert result.exit_code == 1
    assert "no room on the disk" in result.stderr
    assert [path.name for path in here.iterdir()] == ["annotations"]


def _after(calls: int, fail: Callable[..., None]) -> Callable[..., None]:
    left = calls

    def count(*words: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            fail()

    return count


@pytest.mark.parametrize("name", FORMATS)
def test_an_interruption_leaves_nothing_and_promises_nothing(
    name: str, here: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_count", _after(5, stop))
    result = invoke("export", name, f"out{FORMATS[name].suffix}", "-q")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
    assert [path.name for path in here.iterdir()] == ["annotations"]


def test_what_a_killed_run_left_is_in_nobodys_way(here: Path, invoke: Invoke) -> None:
    make_photo(here / "hf.partial" / "images" / "left.jpg", 1)
    (here / ".a.csv.partial").write_text("half of it")
    assert invoke("export", "imagefolder", "hf").exit_code == 0
    assert invoke("export", "csv", "a.csv").exit_code == 0
    assert not (here / "hf" / "images" / "left.jpg").exists()
    assert (here / "a.csv").read_text().startswith("image,label,value")
    assert sorted(path.name for path in here.iterdir()) == ["a.csv", "annotations", "hf"]


@pytest.mark.parametrize(("name", "out"), [("csv", "a.csv"), ("fiftyone", "fo")])
def test_one_writes_at_a_time(name: str, out: str, here: Path, invoke: Invoke) -> None:
    with exclusive(here / out):
        assert f"{out} is being written by another process" in said(invoke("export", name, out))


def test_nothing_is_written_among_annotations(here: Path, invoke: Invoke) -> None:
    before = sorted(path.name for path in (here / "annotations").iterdir())
    for words in (("csv", "annotations/a.csv"), ("yolo", "annotations/yolo")):
        assert "lies in annotations, which holds annotations alone" in said(invoke("export", *words))
    assert sorted(path.name for path in (here / "annotations").iterdir()) == before


def test_pictures_that_the_next_run_would_take_are_said(here: Path, photos: Path, invoke: Invoke) -> None:
    result = invoke("export", "yolo", photos / "yolo", "--dry-run")
    assert f"yolo lies below {photos}: annotating that again takes the pictures" in result.stderr
    assert "lies below" not in invoke("export", "yolo", "yolo", "--dry-run").stderr


def test_damaged_annotations_are_an_integrity_error_and_leave_what_was_there(here: Path, invoke: Invoke) -> None:
    assert invoke("export", "csv", "a.csv").exit_code == 0
    before = (here / "a.csv").read_bytes()
    part = max((here / "annotations").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    result = invoke("export", "csv", "a.csv", "--overwrite")
    assert result.exit_code == 4
    assert (here / "a.csv").read_bytes() == before
    assert sorted(path.name for path in here.iterdir()) == ["a.csv", "annotations"]


def test_rows_that_failed_are_counted(partly_failed: Path, tmp_path: Path, invoke: Invoke) -> None:
    result = invoke("export", "jsonl", "a.jsonl", "--annotations", partly_failed, "--json")
    failed = sum(row["status"] == "failed" for row in annotated_rows(partly_failed))
    assert json.loads(result.stdout)["failed"] == failed > 0
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == len(annotated_rows(partly_failed)) - failed


def test_copies_are_in_one_split_and_shares_are_kept() -> None:
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(5000)]
    drawn = [_split(each, {"val": 0.2, "test": 0.1}) for each in hashes]
    assert drawn == [_split(each, {"val": 0.2, "test": 0.1}) for each in hashes]
    assert abs(drawn.count("val") / 5000 - 0.2) < 0.03
    assert abs(drawn.count("test") / 5000 - 0.1) < 0.03
    assert {_split(None, {"val": 0.5}), _split("f" * 64, {"val": 0.5})} == {"val", "train"}


def test_folders_of_labels_are_plain_names() -> None:
    labels = ["..", ".", "...", ".hidden", "a.", "../b", "c"]
    found = yolo._folders(SimpleNamespace(labels=labels))  # type: ignore[arg-type]
    assert list(found) == labels
    assert len(set(found.values())) == len(labels)
    assert not any("/" in name or name.startswith(".") or name.endswith(".") for name in found.values())
