"""Rows that no input is found for: a row goes only when its file is known to be gone."""

import os
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from conftest import make_photo
from runs import PARTS, Watcher, annotate, by_name, check, find_and_annotate, interrupted, states

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.annotate.inputs import Scope
from aaam_pipeline.annotate.options import Options, Selection
from aaam_pipeline.core.errors import MissingFilesError, UsageError
from aaam_pipeline.core.progress import NullReporter

FORGET = PARTS._replace(forget=True)

pytestmark = pytest.mark.slow


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two folders in one: 6 photographs in `a`, 4 in `b`."""
    for number in range(10):
        make_photo(tmp_path / "library" / ("a" if number < 6 else "b") / f"{number}.jpg", number)
    return tmp_path / "library"


@pytest.fixture
def out(library: Path, tiny_bundle: Path) -> Path:
    out = library.with_name("annotations")
    find_and_annotate([library], tiny_bundle, out)
    return out


class Run:
    """Annotates again, and keeps what is said."""

    def __init__(self, model: Path, out: Path) -> None:
        self.model, self.out = model, out

    def __call__(self, *given: Path | str, options: Options = PARTS, **selection: Any) -> str:
        watcher = Watcher()
        find_and_annotate(given, self.model, self.out, options, watcher, **selection)
        check(self.out)
        return watcher.text

    def held(self, *given: Path | str, options: Options = PARTS) -> str:
        """Annotate where rows stay whose files are not found; say what is said of them."""
        with pytest.raises(MissingFilesError) as caught:
            self(*given, options=options)
        check(self.out)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def names(self) -> list[str]:
        return [str(name) for name in by_name(self.out)["path"].to_pylist()]


@pytest.fixture
def run(tiny_bundle: Path, out: Path) -> Run:
    return Run(tiny_bundle, out)


ALL = [*(f"a/{number}.jpg" for number in range(6)), *(f"b/{number}.jpg" for number in range(6, 10))]


@pytest.mark.parametrize(
    ("given", "selection"),
    [
        ("a/0.jpg", {}),
        ("a", {}),
        ("a/*.jpg", {}),
        ("**/[0-3].jpg", {}),
        ("", {"exclude": ["b"]}),
        ("", {"exclude": ["*9.jpg"]}),
        ("", {"limit": 3}),
    ],
)
def test_a_selection_drops_no_row_of_what_it_did_not_look_at(
    given: str, selection: dict[str, Any], library: Path, run: Run
) -> None:
    before = by_name(run.out)
    # not there either, and not asked for
    (library / "b" / "9.jpg").unlink()
    run(f"{library}/{given}", **selection)
    # another root holds them under other names
    assert by_name(run.out).slice(0, 0).schema == before.schema
    kept = by_name(run.out).filter(inputs_of(run.out, library))
    assert kept.equals(before)
    told = run(f"{library}/{given}", **selection)
    assert "nothing to do" in told
    assert "not among the inputs" in told


def inputs_of(out: Path, root: Path) -> Any:
    return pc.equal(by_name(out)["root"], str(root))


def test_folders_in_a_folder_are_not_looked_at_without_recursion(library: Path, run: Run) -> None:
    make_photo(library / "top.jpg", 50)
    (library / "b" / "9.jpg").unlink()
    assert "1 new, 10 not among the inputs" in run(library, recursive=False)
    assert run.names() == [*ALL, "top.jpg"]


def test_files_that_are_gone_lose_their_rows_and_the_run_says_how_many(library: Path, run: Run) -> None:
    (library / "a" / "1.jpg").unlink()
    (library / "b" / "7.jpg").unlink()
    assert "8 images: 8 kept, 2 deleted" in run(library)
    assert run.names() == [name for name in ALL if name not in ("a/1.jpg", "b/7.jpg")]


@pytest.mark.parametrize("left", [[], [".hidden"], ["removed"]])
def test_a_share_that_is_not_mounted_keeps_its_rows(left: list[str], library: Path, run: Run, tmp_path: Path) -> None:
    share = library / "b"
    share.rename(tmp_path / "unmounted")
    if left != ["removed"]:
        share.mkdir()
        for name in left:
            (share / name).write_text("is not mounted")
    before = by_name(run.out)
    for _ in range(2):
        said = run.held(library)
        assert said.startswith("4 rows stay whose pictures are not found")
        assert str(share) in said
        assert "--forget" in said
        assert by_name(run.out).equals(before)
    # a new picture is annotated all the same
    make_photo(library / "a" / "new.jpg", 60)
    assert "4 rows stay" in run.held(library)
    assert run.names() == sorted([*ALL, "a/new.jpg"])
    if share.exists():
        for path in share.iterdir():
            path.unlink()
        share.rmdir()
    (tmp_path / "unmounted").rename(share)
    assert "nothing to do" in run(library)
    share.rename(tmp_path / "unmounted")
    assert "7 images: 7 kept, 4 forgotten" in run(library, options=FORGET)
    assert run.names() == sorted([*ALL[:6], "a/new.jpg"])


def test_an_input_folder_that_lost_all_its_pictures_keeps_its_rows(library: Path, run: Run, tmp_path: Path) -> None:
    for number in range(70, 90):
        make_photo(tmp_path / "other" / f"{number}.jpg", number)
    run(library, tmp_path / "other")
    for photo in library.rglob("*.jpg"):
        photo.unlink()
    (library / "a" / "notes.txt").write_text("the folder is not empty")
    (library / "b" / "notes.txt").write_text("")
    assert "all pictures of" in run.held(library, tmp_path / "other")
    assert len(run.names()) == 30
    assert "10 deleted" in run(library, tmp_path / "other", options=FORGET)


def test_more_than_half_of_all_rows_do_not_go_unasked(library: Path, run: Run) -> None:
    for number in range(5):
        (library / "a" / f"{number}.jpg").unlink()
    (library / "b" / "6.jpg").unlink()
    assert "6 of 10 pictures are gone, more than half" in run.held(library)
    assert run.names() == ALL
    make_photo(library / "b" / "6.jpg", 6)
    assert "5 kept, 5 deleted" in run(library)


@pytest.mark.parametrize("given", ["library", "library/b"])
def test_no_picture_at_all_is_an_exit_of_its_own_where_there_are_rows(given: str, library: Path, run: Run) -> None:
    before = states(run.out)
    for photo in library.rglob("*.jpg"):
        photo.unlink()
    said = run.held(library.with_name("library") if given == "library" else library / "b", options=FORGET)
    assert "no images in" in said
    assert "the 10 rows" in said
    assert states(run.out) == before


def test_no_picture_at_all_is_a_usage_error_where_there_is_no_row(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no images in"):
        find_and_annotate([tmp_path / "empty"], tiny_bundle, tmp_path / "annotations")


def test_a_dry_run_says_the_same(library: Path, run: Run, tmp_path: Path) -> None:
    (library / "b").rename(tmp_path / "unmounted")
    (library / "a" / "0.jpg").unlink()
    scope = Scope()
    found = inputs.find([library / "a" / "1.jpg", library], Selection(exclude=["2.jpg"]), scope=scope)
    tally, held = runner.preview(found, run.model, run.out, PARTS, NullReporter(), scope)
    assert str(tally) == "4 kept, 1 deleted, 1 not among the inputs, 4 not found"
    assert held.startswith("4 rows stay")


def test_a_run_that_is_resumed_still_says_that_files_are_missing(library: Path, run: Run, tmp_path: Path) -> None:
    (library / "b").rename(tmp_path / "unmounted")
    for number in range(20, 35):
        make_photo(library / "a" / f"{number}.jpg", number)
    interrupted(inputs.find([library]), run.model, run.out, after=8)
    with pytest.raises(MissingFilesError, match="4 rows stay"):
        annotate(library, run.model, run.out)
    assert check(run.out).inputs == 25


def test_a_shorter_list_drops_no_row_of_a_file_that_is_there(library: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    elsewhere = make_photo(tmp_path / "elsewhere" / "x.jpg", 40)
    file, run = tmp_path / "list.txt", Run(tiny_bundle, tmp_path / "listed")
    names = [*(f"library/{name}" for name in ALL), str(elsewhere)]
    for lines in (names, names[3:-1]):
        file.write_text("\n".join(lines))
        said = run(file)
    assert "7 images, same model and settings; nothing to do (4 not among the inputs)" in said
    # of what is not in the list, and known to be gone
    (library / "a" / "0.jpg").unlink()
    assert "7 kept, 1 deleted, 3 not among the inputs" in run(file)
    assert "7 kept, 3 forgotten" in run(file, options=FORGET)


def pack(file: Path, names: list[str], *, whole: bool = True) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name in names:
            tar.add(make_photo(file.parent.parent / "members" / name, zlib.crc32(name.encode())), name)
    if not whole:
        file.write_bytes(file.read_bytes()[:-11_000])
    return file


def test_members_of_tars(tiny_bundle: Path, tmp_path: Path) -> None:
    run, glob = Run(tiny_bundle, tmp_path / "tars"), f"{tmp_path}/shards/*.tar"
    names = [f"{number}.jpg" for number in range(6)]
    first, second = (pack(tmp_path / "shards" / f"{name}.tar", names) for name in "12")
    everything = [f"{tar}.tar/{name}" for tar in "12" for name in names]
    run(glob)
    assert run.names() == everything
    # the other tar, and members that are not asked for, are not looked at
    pack(first, names[:-1])
    run(second)
    run(first, exclude=["5.*"])
    run(glob, limit=3)
    assert run.names() == everything
    assert "1 deleted" in run(first)
    everything.remove("1.tar/5.jpg")
    assert run.names() == everything
    # what lies behind the damage is not known; when that is gone, so is the row that told of it
    pack(first, names[:-1], whole=False)
    run(glob)
    assert run.names() == ["1.tar", *everything]
    pack(first, names[:-1])
    run(glob)
    assert run.names() == everything
    second.unlink()
    assert "6 rows stay" in run.held(glob)
    pack(tmp_path / "shards" / "3.tar", [f"x{number}.jpg" for number in range(9)])
    run.held(glob)
    run(glob, options=FORGET)
    pack(tmp_path / "shards" / "4.tar", ["y.jpg"])
    run(glob)
    (tmp_path / "shards" / "4.tar").unlink()
    assert "1 deleted" in run(glob)


def test_rows_of_the_web_stay_and_those_of_buckets_are_asked_about(tiny_bundle: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    run = Run(tiny_bundle, tmp_path / "remote")
    memory = fsspec.filesystem("memory")
    for number in range(6):
        content = make_photo(tmp_path / "x.jpg", number).read_bytes()
        memory.pipe(f"/changes/{'ab'[number % 2]}/{number}.jpg", content)
    try:
        run("memory://changes")
        memory.rm("/changes/a/0.jpg")
        run("memory://changes/b")
        assert len(run.names()) == 6
        assert "1 deleted" in run("memory://changes", "memory://changes/b")
        (tmp_path / "list.txt").write_text("http://127.0.0.1:9/x.jpg\nmemory://changes/b/1.jpg\n")
        run(tmp_path / "list.txt")
        (tmp_path / "list.txt").write_text("memory://changes/b/1.jpg\n")
        run(tmp_path / "list.txt")
        assert "x.jpg" in run.names()
    finally:
        memory.rm("/changes", recursive=True)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_names_that_are_not_utf8_are_found_again(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(4):
        make_photo(folder / f"{number}.jpg", number)
    strange = os.fsencode(folder) + b"/\xff.jpg"
    Path(os.fsdecode(strange)).write_bytes(make_photo(tmp_path / "x.jpg", 9).read_bytes())
    run = Run(tiny_bundle, tmp_path / "annotations")
    run(folder)
    run(folder, exclude=["*[!0-3].jpg"])
    assert len(run.names()) == 5
    Path(os.fsdecode(strange)).unlink()
    assert "4 kept, 1 deleted" in run(folder)
