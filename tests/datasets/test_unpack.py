"""Archives: what is wanted of them, damage, and what would write where it must not."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.fetching import obtain as module
from aaam_pipeline.datasets.fetching.obtain import unpack

FILES = {
    "set/images/00/25.jpg": b"one" * 1000,
    "set/images/01/7.jpg": b"two",
    "set/other/notes.txt": b"",
    "list.txt": b"a line",
}
Entries = dict[str, bytes]


def make_zip(path: Path, files: Entries) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("set")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: Entries, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("set")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def make_bz2(path: Path, files: Entries) -> Path:
    return make_tar(path, files, "w:bz2")


MAKERS = pytest.mark.parametrize("make", [make_zip, make_tar, make_bz2])
Make = Callable[[Path, Entries], Path]


def unpacked(archive: Path, *members: str, largest: int = 10**6) -> Entries:
    into = archive.parent / "into"
    unpack(archive, into, members, largest, NullReporter())
    return {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}


@MAKERS
def test_everything_is_unpacked(make: Make, tmp_path: Path) -> None:
    assert unpacked(make(tmp_path / "a", FILES)) == FILES


@MAKERS
def test_only_what_is_wanted_is_unpacked_wherever_it_begins(make: Make, tmp_path: Path) -> None:
    assert set(unpacked(make(tmp_path / "a", FILES), "images/", "list")) == set(FILES) - {"set/other/notes.txt"}


@MAKERS
def test_what_is_there_already_is_not_written_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make(tmp_path / "a", FILES)
    unpacked(archive)
    (tmp_path / "into" / "list.txt").unlink()
    (tmp_path / "into" / "set" / "images" / "01" / "7.jpg").write_bytes(b"tw")
    copied = []
    copy = module.shutil.copyfileobj
    monkeypatch.setattr(module.shutil, "copyfileobj", lambda source, target, size: copied.append(copy(source, target)))
    assert unpacked(archive) == FILES
    assert len(copied) == 2


@MAKERS
@pytest.mark.parametrize(
    "name", ["../outside", "set/../../outside", "/tmp/outside", "..\\outside", "C:/outside", "set\\..\\..\\outside"]
)
def test_a_path_that_leads_out_is_refused(make: Make, name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"not safe to unpack: .* leads out of its folder"):
        unpacked(make(tmp_path / "a", {name: b"evil"}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "into"]
    assert not list((tmp_path / "into").iterdir())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_link_or_a_device_is_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as archive:
        entry = tarfile.TarInfo("set/link")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(DatasetError, match="not safe to unpack: 'set/link' is a link or a device"):
        unpacked(tmp_path / "a")


def test_what_nobody_wants_may_be_anything(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as archive:
        for name, kind in (("latest", tarfile.SYMTYPE), ("../up", tarfile.REGTYPE), ("images/1.jpg", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type = kind
            archive.addfile(entry)
    assert unpacked(tmp_path / "a", "images/") == {"images/1.jpg": b""}


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DatasetError, match="not safe to unpack: 'link' is a link or a device"):
        unpacked(tmp_path / "a")


@MAKERS
def test_a_bomb_stops_at_the_size_that_is_announced(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"it unpacks to more than 50,000 bytes"):
        unpacked(make(tmp_path / "a", {f"{number}": bytes(20_000) for number in range(9)}), largest=50_000)
    assert sum(path.stat().st_size for path in (tmp_path / "into").rglob("*")) <= 50_000


@MAKERS
def test_an_archive_without_what_is_wanted_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="it has nothing named photos/"):
        unpacked(make(tmp_path / "a", FILES), "photos/")


@MAKERS
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.9])
def test_an_archive_that_is_cut_off_is_said_in_one_line(make: Make, kept: float, tmp_path: Path) -> None:
    noise = bytes((number * number >> 3) % 256 for number in range(30_000))
    content = make(tmp_path / "a", {"one": noise, "two": noise[::-1]}).read_bytes()
    (tmp_path / "a").write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(DatasetError, match=r"a is (damaged|neither)") as caught:
        unpacked(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_a_wrong_byte_in_a_zip_is_found(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a", {"one": bytes(range(256)) * 9})
    content = bytearray(archive.read_bytes())
    content[200] ^= 1
    archive.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match=r"a is damaged .*give the same command again"):
        unpacked(archive)


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("<html>")
    with pytest.raises(DatasetError, match="neither a zip nor a tar"):
        unpacked(tmp_path / "a")
