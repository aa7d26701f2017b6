"""What the files of hits are now: unchanged, reached by a link, elsewhere, gone; and which names are one file."""

import os
from pathlib import Path

import pytest

from aaam_pipeline.search import real_files
from aaam_pipeline.search.hits import Hit
from aaam_pipeline.search.real_files import FileState, RealFile, first_names, look_at


def seen(file: Path, root: Path) -> RealFile:
    """Look at a file whose row was written just now."""
    status = file.stat()
    hit = Hit(file.relative_to(root).as_posix(), str(root), 1.0, [], {})
    return look_at(hit, status.st_size, status.st_mtime_ns // 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jpg").write_bytes(b"picture")
    return folder


def test_a_file_as_it_was_is_unchanged_also_where_the_root_is_a_link(folder: Path) -> None:
    assert seen(folder / "sub" / "a.jpg", folder).state is FileState.UNCHANGED
    (folder.parent / "linked").symlink_to(folder)
    direct, linked = (seen(root / "sub" / "a.jpg", root) for root in (folder, folder.parent / "linked"))
    assert linked.state is FileState.UNCHANGED
    assert first_names([direct, linked]) == [0]


@pytest.mark.parametrize("link", ["b.jpg", "more/a.jpg"])
def test_a_link_below_the_root_is_one_and_is_another_name_of_its_file(link: str, folder: Path) -> None:
    (folder / "b.jpg").symlink_to("sub/a.jpg")
    (folder / "more").symlink_to("sub")
    direct, linked = seen(folder / "sub" / "a.jpg", folder), seen(folder / link, folder)
    assert linked.state is FileState.LINK
    assert linked.path == direct.path
    assert first_names([linked, direct, linked]) == [0]


def test_hard_links_are_one_file_and_copies_are_several(folder: Path) -> None:
    original, copy = folder / "sub" / "a.jpg", folder / "copy.jpg"
    os.link(original, folder / "hard.jpg")
    copy.write_bytes(original.read_bytes())
    os.utime(copy, ns=(original.stat().st_atime_ns, original.stat().st_mtime_ns))
    files = [seen(file, folder) for file in (copy, folder / "hard.jpg", original)]
    assert {file.state for file in files} == {FileState.UNCHANGED}
    assert first_names(files) == [0, 1]


def test_a_disk_that_is_mounted_twice_has_one_file(folder: Path) -> None:
    file = seen(folder / "sub" / "a.jpg", folder)
    other = RealFile(file.state, "/mnt/again/a.jpg", frozenset(key for key in file.keys if len(key) == 3))
    assert first_names([file, other]) == [0]


def test_names_that_differ_in_case_are_two_files_only_where_the_folder_has_both(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "x.jpg").write_bytes(b"picture")
    (folder / "X.JPG").write_bytes(b"picture")
    files = [seen(folder / name, folder) for name in ("x.jpg", "X.JPG")]
    assert first_names(files) == [0, 1]
    # a share that takes either name, and numbers files by their names
    monkeypatch.setattr(os, "listdir", lambda path: ["x.jpg", "sub"])
    assert first_names(files) == [0]


def test_what_is_gone_changed_unreadable_or_no_file_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "sub" / "a.jpg"
    hit, (size, mtime) = Hit("sub/a.jpg", str(folder), 1.0, [], {}), (7, file.stat().st_mtime_ns // 1000)
    assert look_at(hit, size, mtime).state is FileState.UNCHANGED
    for wrong in ((8, mtime), (size, mtime + 1), (None, mtime), (size, None)):
        assert look_at(hit, *wrong).state is FileState.GONE
    monkeypatch.setattr(real_files.os, "access", lambda *_: False)
    assert look_at(hit, size, mtime).state is FileState.GONE
    monkeypatch.undo()
    file.unlink()
    assert look_at(hit, size, mtime).state is FileState.GONE
    file.symlink_to("nowhere")
    assert look_at(hit, size, mtime).state is FileState.GONE
    file.unlink()
    os.mkfifo(file)
    assert look_at(hit, 0, file.stat().st_mtime_ns // 1000).state is FileState.GONE
    assert look_at(hit._replace(path="a\0.jpg"), size, mtime).state is FileState.GONE


def test_what_is_behind_a_url_or_in_an_archive_is_elsewhere(folder: Path) -> None:
    (folder / "t.tar").write_bytes(b"tar")
    for hit in (Hit("a.jpg", "s3://b", 1.0, [], {}), Hit("t.tar/in/a.jpg", str(folder), 1.0, [], {})):
        assert look_at(hit, 1, 1).state is FileState.ELSEWHERE


def test_an_odd_name_is_looked_at(folder: Path) -> None:
    odd = folder / os.fsdecode(b"\xff.jpg")
    odd.write_bytes(b"x")
    hit = Hit(r"\xff.jpg", str(folder), 1.0, [], {})
    assert look_at(hit, 1, odd.stat().st_mtime_ns // 1000).state is FileState.UNCHANGED
