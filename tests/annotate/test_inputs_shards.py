import io
import shutil
import subprocess
import tarfile
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from finding import find, paths

from aaam_pipeline.annotate import inputs, reader
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.core.errors import ImageError, UsageError


def shard(file: Path, members: dict[str, bytes], mtime: float = 1_700_000_000, **options: object) -> Path:
    with tarfile.open(file, "w", **options) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mtime = mtime
            tar.addfile(member, io.BytesIO(data))
    return file


def reason(source: InputItem) -> str:
    with pytest.raises(ImageError) as caught:
        reader.fetch(source)
    assert caught.value.kind == "unreadable"
    return str(caught.value)


def test_the_images_of_a_shard_are_read_in_place(tmp_path: Path) -> None:
    members = {"0001.jpg": b"first", "0001.json": b"{}", "0001.txt": b"caption", "0002.PNG": b"second" * 999}
    found = find(shard(tmp_path / "s.tar", members))
    assert [source.path for source in found] == ["s.tar/0001.jpg", "s.tar/0002.PNG"]
    assert {source[:2] for source in found} == {(str(tmp_path / "s.tar"), str(tmp_path))}
    assert [source.bytes for source in found] == [5, 6 * 999]
    assert [reader.fetch(source)[:2] for source in found] == [
        (b"first", 1_700_000_000_000_000),
        (b"second" * 999, 1_700_000_000_000_000),
    ]
    assert all(source.mtime is not None for source in found)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_a_plain_tar_of_photographs_works_in_every_format(format: int, tmp_path: Path) -> None:
    long = "x/" * 30 + "y" * 60 + ".jpg"
    members = {"./a.jpg": b"1", "/b/c.jpg": b"22", "b/é ü.jpg": b"333", long: b"4444", "empty.jpg": b""}
    found = find(shard(tmp_path / "s.TAR", members, format=format))
    assert [source.path[6:] for source in found] == ["a.jpg", "b/c.jpg", "b/é ü.jpg", long, "empty.jpg"]
    assert [reader.fetch(source).data for source in found] == [b"1", b"22", b"333", b"4444", b""]


def test_names_in_a_tar_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    file = shard(tmp_path / "s.tar", {"caf\xe9.jpg": b"1"}, encoding="latin-1", format=tarfile.GNU_FORMAT)
    assert paths(file) == ["s.tar/caf\\xe9.jpg"]


def test_a_time_in_a_tar_may_have_a_fraction_or_be_no_date(tmp_path: Path) -> None:
    file = shard(tmp_path / "s.tar", {"a.jpg": b"1"}, mtime=1.5, format=tarfile.PAX_FORMAT)
    assert find(file)[0].mtime == 1_500_000
    file = shard(tmp_path / "t.tar", {"a.jpg": b"1"}, mtime=8_000_000_000_000, format=tarfile.GNU_FORMAT)
    assert find(file)[0].mtime is None


def test_the_options_of_the_search_choose_among_members(tmp_path: Path) -> None:
    names = ("a.jpg", "._a.jpg", ".git/b.jpg", "raw/c.jpg", "d/e.gif", "f.txt")
    file = shard(tmp_path / "s.tar", dict.fromkeys(names, b"x"))
    skipped: Counter[str] = Counter()
    found = find(file, exclude=("raw", "*.gif"), recursive=False, skipped=skipped)
    assert [source.path for source in found] == ["s.tar/a.jpg"]
    assert skipped == {"hidden": 2, "excluded": 2, "not an image": 1}
    assert paths(file, hidden=True, exclude=("d", "raw")) == ["s.tar/a.jpg", "s.tar/.git/b.jpg"]
    everything = paths(file, hidden=True, all_folders=True, exclude=("d", "raw"))
    assert everything == ["s.tar/a.jpg", "s.tar/._a.jpg", "s.tar/.git/b.jpg"]


def test_links_folders_and_devices_in_a_tar_are_not_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, kind in [("d.jpg", tarfile.DIRTYPE), ("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE)]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.jpg"
            tar.addfile(member)
        member = tarfile.TarInfo("a.jpg")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    skipped: Counter[str] = Counter()
    (found,) = find(tmp_path / "s.tar", skipped=skipped)
    assert reader.fetch(found).data == b"abc"
    assert skipped == {"link or sparse file in a tar": 2}


def test_a_sparse_file_in_a_tar_is_counted(tmp_path: Path) -> None:
    program = shutil.which("tar")
    if program is None:
        pytest.skip("no tar here")
    with (tmp_path / "holes.jpg").open("wb") as stream:
        stream.truncate(10_000_000)
        stream.write(b"x")
    (tmp_path / "a.jpg").write_bytes(b"abc")
    made = subprocess.run([program, "-cSf", "s.tar", "holes.jpg", "a.jpg"], cwd=tmp_path, check=False)
    if made.returncode or (tmp_path / "s.tar").stat().st_size > 1_000_000:
        pytest.skip("this tar makes no sparse files")
    skipped: Counter[str] = Counter()
    (found,) = find(tmp_path / "s.tar", skipped=skipped)
    assert reader.fetch(found).data == b"abc"
    assert skipped == {"link or sparse file in a tar": 1}


def test_shards_may_be_named_by_glob_and_by_braces(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for number in range(3):
        shard(tmp_path / f"shards/{number:03d}.tar", {f"{number}.jpg": b"x"})
    expected = ["shards/000.tar/0.jpg", "shards/001.tar/1.jpg", "shards/002.tar/2.jpg"]
    assert paths(tmp_path / "*/*.tar") == expected
    assert paths(tmp_path / "shards/{000..002}.tar") == [name.removeprefix("shards/") for name in expected]
    assert paths(tmp_path / "shards/{001..002}.tar", tmp_path / "shards/*.tar", tmp_path / "shards/001.tar") == [
        "001.tar/1.jpg",
        "002.tar/2.jpg",
        "000.tar/0.jpg",
    ]


@pytest.mark.parametrize("name", ["s.tar.gz", "s.tgz", "s.tar.zst", "S.TAR.XZ"])
def test_a_compressed_tar_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    for given in (tmp_path / name, tmp_path / f"*{name[1:]}"):
        with pytest.raises(UsageError, match="compressed; decompress it first"):
            find(given)


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """A tar of three images: headers at 0, 1536, 3072, each followed by 1024 bytes; its end at 4608."""
    return shard(tmp_path / "whole.tar", {f"{n}.jpg": bytes([n]) * 1000 for n in range(3)}).read_bytes()


@pytest.mark.parametrize(
    ("size", "left"),
    [
        (4608, 3),
        (4607, 3),
        (4600, 3),
        (4000, 2),
        (3584, 2),
        (3100, 2),
        (3072, 2),
        (2000, 1),
        (700, 0),
        (100, 0),
        (0, 0),
    ],
)
def test_of_a_tar_cut_off_the_whole_images_are_found_and_a_row_fails(
    size: int, left: int, whole: bytes, tmp_path: Path
) -> None:
    (tmp_path / "cut.tar").write_bytes(whole[:size])
    *found, last = find(tmp_path / "cut.tar")
    assert [reader.fetch(source).data for source in found] == [bytes([n]) * 1000 for n in range(left)]
    assert last[:5] == (str(tmp_path / "cut.tar"), str(tmp_path), "cut.tar", None, None)
    assert ("damaged tar" if size else "an empty file") in reason(last)


@pytest.mark.parametrize(("header", "left"), [(0, 0), (1536, 1), (3072, 2)])
def test_of_a_tar_with_a_damaged_header_the_images_before_it_are_found(
    header: int, left: int, whole: bytes, tmp_path: Path
) -> None:
    (tmp_path / "bad.tar").write_bytes(whole[:header] + b"garbage" * 10 + whole[header + 70 :])
    *found, last = find(tmp_path / "bad.tar")
    assert len(found) == left
    assert "damaged tar" in reason(last)


def test_a_file_that_is_no_tar_fails_as_a_row_beside_sound_ones(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(b"\x1f\x8b compressed, whatever its name" * 100)
    (tmp_path / "b.tar").write_bytes(whole[:10_240])
    (tmp_path / "c.tar").symlink_to("gone")
    found = find(tmp_path / "[abc].tar")
    assert [source.path for source in found] == ["a.tar", "b.tar/0.jpg", "b.tar/1.jpg", "b.tar/2.jpg", "c.tar"]


def test_an_empty_tar_holds_no_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images in"):
        find(shard(tmp_path / "s.tar", {}))


def test_a_tar_that_shrinks_after_it_was_listed_fails(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "s.tar").write_bytes(whole)
    found = find(tmp_path / "s.tar")
    (tmp_path / "s.tar").write_bytes(whole[:4000])
    assert reason(found[2]) == "the tar is cut off: 416 of 1000 bytes are there"


def test_memory_does_not_grow_with_the_members(tmp_path: Path) -> None:
    file = shard(tmp_path / "s.tar", {f"{n}.jpg": b"x" for n in range(5000)})
    tracemalloc.start()
    assert sum(1 for _ in inputs.find([file])) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000
