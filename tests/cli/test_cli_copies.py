"""Folders of copies and links of hits."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from cli.hits import hit
from conftest import Invoke, make_photo

from aaam_pipeline.cli import photos
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.search import Hit


@pytest.mark.parametrize("link", [False, True])
def test_names_never_collide_and_are_never_too_long(link: bool, tmp_path: Path) -> None:
    hits = []
    names = ["x.jpg", "x.jpg", "n" * 251 + ".jpg", "é" * 125 + ".jpeg", "z" * 255]
    for folder, name in zip("abcde", names, strict=True):
        make_photo(tmp_path / f"{folder}.jpg", len(hits))
        (tmp_path / folder).mkdir()
        hits.append(hit((tmp_path / f"{folder}.jpg").rename(tmp_path / folder / name)))
    assert photos.collect(hits, tmp_path / "best", link=link)
    names = sorted(path.name for path in (tmp_path / "best").iterdir())
    assert [name[:5] for name in names] == ["0001_", "0002_", "0003_", "0004_", "0005_"]
    assert names[:2] == ["0001_x.jpg", "0002_x.jpg"]
    assert names[2].endswith("n.jpg")
    assert names[3].endswith("é.jpeg")
    assert all(len(os.fsencode(name)) <= 255 for name in names)
    for name, found in zip(names, hits, strict=True):
        assert (tmp_path / "best" / name).read_bytes() == found.file.read_bytes()


def test_ranks_are_as_wide_as_the_last(tmp_path: Path) -> None:
    found = hit(make_photo(tmp_path / "a.jpg", 1))
    assert photos.collect([found] * 10_000, tmp_path / "best", link=True)
    names = sorted(path.name for path in (tmp_path / "best").iterdir())
    assert (names[0], names[-1]) == ("00001_a.jpg", "10000_a.jpg")


@pytest.mark.parametrize("name", ["-rf", "--help.jpg", " .jpg", "a\nb.jpg", "\x1b[31m.jpg", ".hidden.jpg", "~"])
def test_hostile_names_are_copied_into_the_folder_and_nowhere_else(name: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    found = hit(make_photo(tmp_path / "x.jpg", 1).rename(tmp_path / "photos" / name))
    assert photos.collect([found], tmp_path / "best", link=False)
    assert [path.name for path in (tmp_path / "best").iterdir()] == [f"0001_{name}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "photos"]


def test_a_full_disk_leaves_no_half_copies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = [hit(make_photo(tmp_path / f"{number}.jpg", number)) for number in range(3)]

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    assert not photos.collect(hits, tmp_path / "best", link=False)
    assert list((tmp_path / "best").iterdir()) == []
    assert capsys.readouterr().err == "error: 3 of 3 images were not copied: 3 No space left on device\n"


def test_reasons_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.jpg").symlink_to("nowhere.jpg")
    hits = [
        hit(make_photo(tmp_path / "a.jpg", 1)),
        hit(tmp_path / "broken.jpg"),
        hit(tmp_path / "gone.jpg"),
        Hit("b.jpg", "s3://bucket", 1.0, [], {}),
    ]
    assert not photos.collect(hits, tmp_path / "best", link=True)
    said = "error: 3 of 4 images were not linked: 2 not there any more, 1 not on this machine\n"
    assert capsys.readouterr().err == said
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["0001_a.jpg"]


@pytest.mark.parametrize("folder", ["file/best", "/proc/best"])
def test_a_folder_that_cannot_be_made_is_a_usage_error(
    folder: str, tmp_path: Path, indexed: Path, invoke: Invoke
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write to"):
        photos.collect([], tmp_path / folder, link=False)
    for option in ("--copy-to", "--link-to"):
        result = invoke("search", "grass", "--index", indexed, option, folder)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said(tmp_path: Path, indexed: Path, invoke: Invoke) -> None:
    (tmp_path / "best").mkdir(mode=0o500)
    result = invoke("search", "grass", "--index", indexed, "--copy-to", "best", "--paths", "-t", "2")
    assert result.exit_code == 1
    assert result.stderr == "error: 2 of 2 images were not copied: 2 Permission denied\n"
