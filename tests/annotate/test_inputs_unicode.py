"""Names in either Unicode form, on disk, in patterns and in lists: as on a Mac's disk, where `ö` is two characters."""

import os
from collections import Counter
from pathlib import Path
from unicodedata import normalize

import pytest
from finding import find, paths, touch
from test_inputs_shards import shard

from aaam_pipeline.core.disk_names import DiskNames
from aaam_pipeline.core.errors import UsageError

FORMS = [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")]


@pytest.mark.parametrize(("disk", "typed"), FORMS)
class TestForms:
    def test_an_excluded_photograph_is_left_out(self, disk: str, typed: str, tmp_path: Path) -> None:
        touch(tmp_path, normalize(disk, "Bär 1.jpg"), normalize(disk, "Größe/ä.jpg"), "Bar.jpg")
        skipped: Counter[str] = Counter()
        exclude = [normalize(typed, glob) for glob in ("*Bär*", "Größe/*")]
        assert [item.path for item in find(tmp_path, exclude=exclude, skipped=skipped)] == ["Bar.jpg"]
        assert skipped == {"excluded": 2}
        assert paths(tmp_path, exclude=[normalize(typed, "**/größe")]) != []

    def test_members_of_a_tar_are_excluded(self, disk: str, typed: str, tmp_path: Path) -> None:
        file = shard(tmp_path / "s.tar", {normalize(disk, "Bär.jpg"): b"x", "a.jpg": b"x"})
        assert paths(file, exclude=[normalize(typed, "Bär*")]) == ["s.tar/a.jpg"]

    def test_a_glob_finds_it(self, disk: str, typed: str, tmp_path: Path) -> None:
        name = normalize(disk, "Köln/Dom é.jpg")
        touch(tmp_path, name, "Kiel/a.jpg")
        root = f"{tmp_path}/{normalize(disk, 'Köln')}"
        assert paths(tmp_path / normalize(typed, "*öln/* é.jpg")) == [name]
        assert paths(tmp_path / normalize(typed, "**/Dom é.*")) == [name]
        (found,) = find(tmp_path / normalize(typed, "Köln/*.jpg"))
        assert found[:3] == (f"{tmp_path}/{name}", root, normalize(disk, "Dom é.jpg"))

    def test_a_folder_and_a_file_are_found_by_name(self, disk: str, typed: str, tmp_path: Path) -> None:
        name = normalize(disk, "Köln/Dom é.jpg")
        touch(tmp_path, name)
        assert [item.location for item in find(tmp_path / normalize(typed, "Köln"))] == [f"{tmp_path}/{name}"]
        assert [item.location for item in find(tmp_path / normalize(typed, "Köln/Dom é.jpg"))] == [f"{tmp_path}/{name}"]

    @pytest.mark.parametrize("kind", ["l.txt", "l.csv"])
    def test_a_list_finds_it(self, kind: str, disk: str, typed: str, tmp_path: Path) -> None:
        names = [f"Köln/Dom é {number}.jpg" for number in range(3)]
        touch(tmp_path, *(normalize(disk, name) for name in names))
        typed_names = [normalize(typed, name) for name in [*names, "gone é.jpg", f"{tmp_path}/{names[0]}"]]
        (tmp_path / kind).write_text("\n".join(["path", *typed_names] if kind == "l.csv" else typed_names))
        found = find(tmp_path / kind)
        assert [item.path for item in found[:3]] == [normalize(disk, name) for name in names]
        assert [item.bytes for item in found] == [1, 1, 1, None, 1]
        assert found[4] == found[0]


def test_which_of_two_is_meant_is_not_guessed(tmp_path: Path) -> None:
    composed, apart, third = "Ạ̈.jpg", normalize("NFD", "Ạ̈.jpg"), "A\u0308\u0323.jpg"
    touch(tmp_path, apart, third)
    if sum(1 for _ in tmp_path.iterdir()) != 2 or normalize("NFC", composed) in (apart, third):
        pytest.skip("this disk does not tell them apart")
    (tmp_path / "l.txt").write_text(f"{normalize('NFC', composed)}\n{third}\n")
    assert [item.bytes for item in find(tmp_path / "l.txt")] == [None, 1]
    with pytest.raises(UsageError, match="no file or folder"):
        find(tmp_path / normalize("NFC", composed))


def test_the_exact_name_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "ö.jpg", "o\u0308.jpg")
    if sum(1 for _ in tmp_path.iterdir()) != 2:
        pytest.skip("this disk does not tell them apart")
    assert paths(tmp_path / "ö.jpg", tmp_path / "o\u0308.jpg") == ["ö.jpg", "o\u0308.jpg"]


def test_a_folder_is_read_once_for_a_whole_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"ö{number}.jpg" for number in range(500)]
    touch(tmp_path, *(normalize("NFD", name) for name in names))
    (tmp_path / "l.txt").write_text("\n".join([*names, "gone ö.jpg"]))
    listed, real = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or real(folder))
    assert [item.bytes for item in find(tmp_path / "l.txt")] == [1] * 500 + [None]
    assert len(listed) == 1


def test_names_that_are_not_utf8_do_no_harm(tmp_path: Path) -> None:
    name = os.fsdecode("ö".encode() + b"\xff.jpg")
    touch(tmp_path, name)
    assert DiskNames().find(str(tmp_path / name)) == str(tmp_path / name)
    assert DiskNames().find(os.fsdecode(b"o\xcc\x88\xff.jpg")) == os.fsdecode(b"o\xcc\x88\xff.jpg")
    assert len(paths(tmp_path, exclude=["ä*"])) == 1
