"""Pictures that were moved, renamed or copied: their rows follow by content, and nothing is decoded."""

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import make_photo
from runs import (
    PARTS,
    annotate,
    by_name,
    find_and_annotate,
    interrupted,
    note_decoded,
    same_as_from_scratch,
    states,
)

from aaam_pipeline.annotate import reader
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.errors import MissingFilesError, UsageError

# of a row, what the picture does not decide on
PLACE = ["path", "root", "link_target", "mtime"]


pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of 12 photographs in two others, and one that is no image."""
    for number in range(12):
        make_photo(tmp_path / "photos" / ("a" if number < 8 else "b") / f"{number:02d}.jpg", number)
    (tmp_path / "photos" / "b" / "bad.jpg").write_text("no image")
    return tmp_path / "photos"


@pytest.fixture
def out(folder: Path, tiny_bundle: Path) -> Path:
    out = folder.with_name("annotations")
    annotate(folder, tiny_bundle, out)
    return out


@pytest.fixture
def decoded(out: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded after `out` was made."""
    return note_decoded(monkeypatch)


def answers(out: Path, order: str = "sha256") -> pa.Table:
    """All that a model said, in an order that names do not decide on."""
    rows = by_name(out)
    return rows.select([name for name in rows.column_names if name not in PLACE]).sort_by(order).combine_chunks()


def test_renamed_and_moved_images_keep_their_rows(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]
) -> None:
    before = answers(out)
    (folder / "a" / "00.jpg").rename(folder / "a" / "holiday.jpg")
    (folder / "a" / "01.jpg").rename(folder / "b" / "01.jpg")
    (folder / "a" / "02.jpg").rename(folder / "02.jpg")
    os.utime(folder / "02.jpg", (5, 5))
    (folder / "b" / "bad.jpg").rename(folder / "a" / "bad.jpg")
    _, watched = annotate(folder, tiny_bundle, out)
    assert "13 images: 4 moved, 9 kept" in watched.text
    assert answers(out).equals(before)
    assert decoded == []
    assert same_as_from_scratch([folder], tiny_bundle, out)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "nothing to do" in watched.text


def test_an_empty_file_of_a_moved_folder_has_one_row(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    for name in ("empty.jpg", "other.jpg"):
        (folder / "a" / name).touch()
    out = tmp_path / "annotations"
    annotate(folder, tiny_bundle, out)
    (folder / "a" / "other.jpg").unlink()
    (folder / "a").rename(folder / "c")
    # the other one is nowhere: its row stays until it is forgotten, as its folder is not there
    with pytest.raises(MissingFilesError, match=r"^1 row stays whose picture is not found: looked for in .*/photos/a;"):
        annotate(folder, tiny_bundle, out)
    empty = [path for path in by_name(out)["path"].to_pylist() if not path.endswith(("0.jpg", "1.jpg")) and "e" in path]
    assert sorted(path for path in empty if "bad" not in path) == ["a/other.jpg", "c/empty.jpg"]


@pytest.mark.parametrize("target", ["photos/c", "elsewhere"])
def test_a_moved_folder_is_not_decoded(
    target: str, folder: Path, tiny_bundle: Path, out: Path, decoded: list[str], tmp_path: Path
) -> None:
    before = answers(out)
    (folder / "a").rename(tmp_path / target)
    given = [folder, *([tmp_path / target] if target == "elsewhere" else [])]
    find_and_annotate(given, tiny_bundle, out)
    assert answers(out).equals(before)
    assert decoded == []
    assert same_as_from_scratch(given, tiny_bundle, out)


def test_a_moved_library_is_not_decoded_and_leaves_nothing_behind(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str], tmp_path: Path
) -> None:
    before = answers(out)
    folder.rename(tmp_path / "new")
    _, watched = annotate(tmp_path / "new", tiny_bundle, out)
    assert "13 images: 13 moved" in watched.text
    assert answers(out).equals(before)
    assert decoded == []
    assert same_as_from_scratch([tmp_path / "new"], tiny_bundle, out)


def test_two_names_that_were_swapped(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    first, second, between = (folder / "a" / name for name in ("03.jpg", "04.jpg", "x"))
    # of one size, and of one time: their content alone tells
    size = max(photo.stat().st_size for photo in (first, second)) + 10
    for photo in (first, second):
        photo.write_bytes(photo.read_bytes().ljust(size, b"\0"))
    annotate(folder, tiny_bundle, out)
    decoded.clear()
    before = answers(out)
    first.rename(between)
    second.rename(first)
    between.rename(second)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "2 moved, 11 kept" in watched.text
    assert decoded == []
    assert answers(out).equals(before)
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_moved_and_edited_is_new(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    (folder / "a" / "05.jpg").unlink()
    make_photo(folder / "a" / "five.jpg", 500)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "1 new, 12 kept, 1 deleted" in watched.text
    assert decoded == ["a/five.jpg"]
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_a_picture_of_the_same_size_is_no_copy(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    size = (folder / "a" / "06.jpg").stat().st_size
    other = make_photo(folder / "a" / "other.jpg", 600, size=(20, 24))
    other.write_bytes(other.read_bytes().ljust(size, b"\0"))
    _, watched = annotate(folder, tiny_bundle, out)
    assert "1 new, 13 kept" in watched.text
    assert decoded == ["a/other.jpg"]


def test_copies_take_the_row_that_is_there(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    for name in ("b/copy.jpg", "copy.jpg", "b/worse.jpg"):
        source = folder / "b" / "bad.jpg" if "worse" in name else folder / "a" / "07.jpg"
        shutil.copy(source, folder / name)
    (folder / "link.jpg").symlink_to(folder / "a" / "00.jpg")
    (folder / "a" / "01.jpg").rename(folder / "a" / "first.jpg")
    shutil.copy(folder / "a" / "first.jpg", folder / "a" / "second.jpg")
    _, watched = annotate(folder, tiny_bundle, out)
    assert "1 moved, 5 copied, 12 kept" in watched.text
    assert decoded == []
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_failures_of_the_moment_are_not_copied(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    annotate(folder, tiny_bundle, out)
    (folder / "gone.jpg").rename(folder / "still gone.jpg")
    decoded.clear()
    manifest, watched = annotate(folder, tiny_bundle, out)
    assert "1 new, 13 kept, 1 deleted" in watched.text
    assert decoded == ["still gone.jpg"]
    assert manifest.failures == {"not_an_image": 1, "unreadable": 1}
    # and what failed for good is decoded again when that is asked for
    (folder / "b" / "bad.jpg").rename(folder / "b" / "worse.jpg")
    annotate(folder, tiny_bundle, out, PARTS._replace(retry_failed=True))
    assert "b/worse.jpg" in decoded


def test_a_row_moves_once_where_several_files_have_its_content(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "annotations"
    for name in ("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "b/2.jpg"):
        make_photo(folder / name, 1)
    for number in range(10, 20):
        make_photo(folder / "c" / f"{number}.jpg", number)
    annotate(folder, tiny_bundle, out)
    (folder / "a").rename(folder / "d")
    (folder / "d" / "2.jpg").unlink()
    with pytest.raises(MissingFilesError, match="1 row stays"):
        annotate(folder, tiny_bundle, out)
    assert by_name(out)["path"].to_pylist()[:5] == ["a/3.jpg", "b/1.jpg", "b/2.jpg", "c/10.jpg", "c/11.jpg"]
    annotate(folder, tiny_bundle, out, PARTS._replace(forget=True))
    assert same_as_from_scratch([folder], tiny_bundle, out)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_run_that_was_stopped_after_a_move_goes_on_with_other_inputs(
    mapped: bool, folder: Path, tiny_bundle: Path, out: Path, decoded: list[str], tmp_path: Path
) -> None:
    before = answers(out)
    new = tmp_path / "new"
    folder.rename(new)
    for number in range(20, 40):
        make_photo(new / "c" / f"{number}.jpg", number)
    options = PARTS._replace(root=[f"{folder}={new}"]) if mapped else PARTS
    interrupted(new, tiny_bundle, out, options, after=8)
    make_photo(new / "c" / "40.jpg", 40)
    decoded.clear()
    _, watched = annotate(new, tiny_bundle, out)
    assert "34 images: 15 new, 19 kept" in watched.text
    assert "not found" not in watched.text
    assert len(decoded) == 15
    assert before.num_rows == 13
    assert same_as_from_scratch([new], tiny_bundle, out)


def test_members_of_a_renamed_tar_are_not_decoded(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str], tmp_path: Path
) -> None:
    tar, tars = Path(shutil.make_archive(str(tmp_path / "shards" / "one"), "tar", folder)), tmp_path / "tars"
    find_and_annotate([tar], tiny_bundle, tars)
    decoded.clear()
    renamed = tar.rename(tar.with_name("two.tar"))
    (tar.parent / "x.txt").write_text("")
    find_and_annotate([renamed], tiny_bundle, tars)
    assert decoded == []
    assert same_as_from_scratch([renamed], tiny_bundle, tars)


def moving(old: Path, new: Path, options: Options = PARTS) -> Options:
    return options._replace(root=[f"{old}={new}"])


def test_roots_are_rewritten_without_opening_a_picture(
    folder: Path, tiny_bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder.rename(tmp_path / "new")
    before = answers(out)

    def refuse(*_: Any) -> None:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(reader, "decode", refuse)
        patch.setattr("aaam_pipeline.annotate.moves._content", refuse)
        _, watched = annotate(tmp_path / "new", tiny_bundle, out, moving(folder, tmp_path / "new"))
        assert "13 images: 13 kept" in watched.text
        assert answers(out).equals(before)
        state = states(out)
        _, watched = annotate(tmp_path / "new", tiny_bundle, out, moving(folder, tmp_path / "new"))
        assert "nothing to do" in watched.text
        assert f"no row lies below {folder}" in watched.text
    assert states(out) == state
    assert same_as_from_scratch([tmp_path / "new"], tiny_bundle, out)


def test_a_stopped_run_takes_the_new_root_when_it_is_named_later(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str], tmp_path: Path
) -> None:
    new = tmp_path / "new"
    folder.rename(new)
    for number in range(20, 30):
        make_photo(new / f"{number}.jpg", number)
    interrupted(new, tiny_bundle, out, after=7)
    annotate(new, tiny_bundle, out, moving(folder, new))
    assert same_as_from_scratch([new], tiny_bundle, out)


@pytest.mark.parametrize("text", ["x", "=x", "x=", "", "a=b=c", "/x=/x", "/x=/x/"])
def test_a_moved_root_has_an_old_and_a_new_name(text: str, folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--root"):
        annotate(folder, tiny_bundle, tmp_path / "new", PARTS._replace(root=[text]))
