"""Folders and files of systems and photo programs: left out, counted, and taken when asked for."""

from collections import Counter
from pathlib import Path

import pytest
from finding import find, paths, touch
from test_inputs_shards import shard

SYSTEM = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/a.jpg", "#snapshot/a.jpg", "@Recycle/a.jpg", "@__thumb/a.jpg"),
    *("$RECYCLE.BIN/S-1-5/$R1.jpg", "$Recycle.Bin/a.jpg", "System Volume Information/a.jpg", "RECYCLER/a.jpg"),
    *("__MACOSX/a.jpg", "lost+found/#12.jpg", "Lightroom Catalog Previews.lrdata/0/a.jpg", "x/y/@EADIR/a.jpg"),
    *("P.photoslibrary/resources/derivatives/0/a_1_105_c.jpeg", "Old.photolibrary/Thumbnails/a.jpg"),
]
HIDDEN = [
    *(".thumbnails/1.jpg", ".dtrash/a.jpg", ".Trash-1000/files/a.jpg", ".Trashes/501/a.jpg", ".trash/a.jpg"),
    *("._IMG_1.jpg", ".trashed-1712345678-IMG.jpg", ".@__thumb/a.jpg", ".stversions/a~1.jpg"),
]
OWN = [
    *("a.jpg", "eaDir/a.jpg", "recycle/a.jpg", "derivatives/a.jpg", "Thumbnails/a.jpg", "lrdata/a.jpg"),
    *("P.photoslibrary/originals/0/a.jpeg", "P.photoslibrary/resources/renders/0/a.jpeg", "Masters/a.jpg"),
]


@pytest.mark.parametrize("name", SYSTEM)
def test_folders_of_systems_and_programs_are_left_out_and_counted(name: str, tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    touch(tmp_path, "own.jpg", name)
    assert [item.path for item in find(tmp_path, skipped=skipped)] == ["own.jpg"]
    assert skipped == {"system folder": 1}
    assert sorted(paths(tmp_path, all_folders=True)) == sorted(["own.jpg", name])


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_ones_are_left_out_also_where_hidden_names_are_taken(name: str, tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    touch(tmp_path, "own.jpg", ".own.jpg", name)
    assert [item.path for item in find(tmp_path, hidden=True, skipped=skipped)] == [".own.jpg", "own.jpg"]
    assert skipped.keys() <= {"system folder", "system file"}
    assert skipped.total() == 1
    assert name in paths(tmp_path, hidden=True, all_folders=True)


def test_folders_of_ones_own_are_entered(tmp_path: Path) -> None:
    assert sorted(paths(touch(tmp_path, *OWN))) == sorted(OWN)


def test_files_of_systems_are_counted(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    touch(tmp_path, "a.jpg", "Thumbs.db", "desktop.ini", "ehthumbs.db", "notes.txt", "shard.tar")
    find(tmp_path, skipped=skipped)
    assert skipped == {"system file": 3, "not an image": 1, "tar (name it itself)": 1}
    assert paths(tmp_path / "*.db", tmp_path) == ["a.jpg"]


def test_what_is_named_itself_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "@eaDir/a.jpg", "._a.jpg", "L.photoslibrary/resources/derivatives/b.jpg")
    assert paths(tmp_path / "@eaDir", tmp_path / "._a.jpg") == ["a.jpg", "._a.jpg"]
    assert paths(tmp_path / "@eaDir/*.jpg") == ["a.jpg"]
    (tmp_path / "l.txt").write_text("@eaDir/a.jpg\n")
    assert paths(tmp_path / "l.txt") == ["@eaDir/a.jpg"]


def test_a_photo_library_that_is_named_itself_gives_its_originals(tmp_path: Path) -> None:
    touch(tmp_path / "L.photoslibrary", "originals/a.jpg", "resources/derivatives/a_1.jpg", "database/x.png")
    assert paths(tmp_path / "L.photoslibrary") == ["originals/a.jpg"]
    assert paths(tmp_path / "L.photoslibrary/resources/derivatives") == ["a_1.jpg"]


def test_they_are_left_out_of_globs_and_tars(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "p/@eaDir/b.jpg")
    assert paths(tmp_path / "p/**/*.jpg") == ["a.jpg"]
    members = ("a.jpg", "__MACOSX/._a.jpg", "__MACOSX/b.jpg", "x/@eaDir/c.jpg", "._d.jpg")
    file = shard(tmp_path / "s.tar", dict.fromkeys(members, b"x"))
    skipped: Counter[str] = Counter()
    assert [item.path for item in find(file, skipped=skipped)] == ["s.tar/a.jpg"]
    assert skipped == {"system folder": 3, "hidden": 1}
    assert len(paths(file, hidden=True, all_folders=True)) == 5
