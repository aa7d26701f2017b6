"""Tars behind tars, and what is named `.tar` and is none: no image is lost without a row that says so."""

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from finding import find, paths
from test_inputs_shards import shard

from aaam_pipeline.annotate import reader
from aaam_pipeline.core.errors import ImageError, UsageError


def tar_bytes(folder: Path, *names: str, **options: object) -> bytes:
    return shard(folder / "made", {name: name.encode() * 700 for name in names}, **options).read_bytes()


def contents(file: Path) -> list[tuple[str, bytes]]:
    return [(item.path, reader.fetch(item).data) for item in find(file)]


def expected(*names: str) -> list[tuple[str, bytes]]:
    return [(f"s.tar/{name}", name.encode() * 700) for name in names]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("between", [0, 512, 70_000 * 512])
def test_tars_behind_each_other_are_read_to_the_last(between: int, format: int, tmp_path: Path) -> None:
    tars = [tar_bytes(tmp_path, f"{n}.jpg", f"é{'x' * 120}{n}.jpg", format=format) for n in range(3)]
    (tmp_path / "s.tar").write_bytes(bytes(between).join(tars) + bytes(between))
    assert contents(tmp_path / "s.tar") == expected(*(f"{x}{n}.jpg" for n in range(3) for x in ("", f"é{'x' * 120}")))


def test_a_tar_whose_end_is_one_block_goes_on(tmp_path: Path) -> None:
    first, second = tar_bytes(tmp_path, "a.jpg"), tar_bytes(tmp_path, "b.jpg")
    (tmp_path / "s.tar").write_bytes(first.rstrip(b"\0").ljust(4608, b"\0") + second)
    assert contents(tmp_path / "s.tar") == expected("a.jpg", "b.jpg")


def test_an_empty_tar_before_another_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(tar_bytes(tmp_path) + tar_bytes(tmp_path, "b.jpg"))
    assert contents(tmp_path / "s.tar") == expected("b.jpg")


def test_what_tar_itself_concatenates_is_read(tmp_path: Path) -> None:
    program = shutil.which("tar")
    if program is None:
        pytest.skip("no tar here")
    (tmp_path / "s.tar").write_bytes(tar_bytes(tmp_path, "a.jpg"))
    shard(tmp_path / "b.tar", {"b.jpg": b"b.jpg" * 700})
    if subprocess.run([program, "-Af", "s.tar", "b.tar"], cwd=tmp_path, check=False, capture_output=True).returncode:
        pytest.skip("this tar does not append")
    assert contents(tmp_path / "s.tar") == expected("a.jpg", "b.jpg")


@pytest.mark.parametrize("behind", [b"signature", b"x" * 5000, b"\0" * 600 + b"\x1f\x8b"])
def test_something_else_behind_the_end_has_a_row_that_fails(behind: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(tar_bytes(tmp_path, "a.jpg") + behind)
    found, last = find(tmp_path / "s.tar")
    assert found.path == "s.tar/a.jpg"
    assert last[2:5] == ("s.tar", None, None)
    with pytest.raises(ImageError, match="followed by something else"):
        reader.fetch(last)


def test_a_second_tar_that_is_cut_off_has_a_row_that_fails(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(tar_bytes(tmp_path, "a.jpg") + tar_bytes(tmp_path, "b.jpg", "c.jpg")[:5000])
    assert [item.path for item in find(tmp_path / "s.tar")] == ["s.tar/a.jpg", "s.tar/b.jpg", "s.tar"]


def zipped(data: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as made:
        made.writestr("a.jpg", data)
    return into.getvalue()


@pytest.mark.parametrize(
    ("pack", "called"),
    [
        (gzip.compress, "compressed by gzip"),
        (bz2.compress, "compressed by bzip2"),
        (lzma.compress, "compressed by xz"),
        (zipped, "a zip archive"),
        (lambda data: b"\x28\xb5\x2f\xfd" + data, "compressed by zstd"),
        (lambda data: b"7z\xbc\xaf\x27\x1c" + data, "a 7z archive"),
    ],
)
def test_what_is_no_tar_is_called_what_it_is(pack: Callable[[bytes], bytes], called: str, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(pack(tar_bytes(tmp_path, "a.jpg")))
    (found,) = find(tmp_path / "s.tar")
    with pytest.raises(ImageError) as caught:
        reader.fetch(found)
    assert str(caught.value) == f"no tar but {called}, whatever its name; decompress or unpack it first"
    assert caught.value.kind == "unreadable"


@pytest.mark.parametrize("name", ["photos.zip", "photos.7Z", "photos.rar"])
def test_other_archives_are_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(UsageError, match="an archive that is not read; unpack it first"):
        paths(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "an empty file, no tar"), (b"words" * 200, "no tar, or a damaged tar: it does not begin as one")],
)
def test_what_begins_like_no_tar_is_not_called_cut_off(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(content)
    (found,) = find(tmp_path / "s.tar")
    with pytest.raises(ImageError) as caught:
        reader.fetch(found)
    assert (str(caught.value), caught.value.kind) == (said, "unreadable")
