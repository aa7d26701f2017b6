"""Packets written into files: only they change, in one step, and the bytes that were there come back."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noted_pictures import EVERY, OLD, jpeg, tiff

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.exchange import embedding
from aaam_pipeline.exchange.embedding import PacketWriter, journal, packet_writer
from aaam_pipeline.formats import decisions, packets
from aaam_pipeline.formats.packets import PacketError

NEW = OLD.replace(b"/><", b' x:xmptk="a longer packet than before"/><')
LONG_AGO = 1_000_000_000_000_000_000


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = []
    for name, make in EVERY.items():
        paths.append(folder / f"{name}.{name.rpartition(' ')[2].removeprefix('big')}")
        paths[-1].write_bytes(make(OLD if "big" in name else None))
        os.utime(paths[-1], ns=(LONG_AGO, LONG_AGO))
    return paths


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "decisions.jsonl")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def write(photos: list[Path], work: Path, ledger: Ledger, xmp: bytes = NEW, **options: Any) -> dict[str, str]:
    """Embed a packet in each; return why some refused."""
    refused: dict[str, str] = {}
    with PacketWriter(work, ledger.append, refused=lambda path, why: refused.update({path.name: why}), **options) as to:
        for photo in photos:
            try:
                to.embed(photo, xmp)
            except (PacketError, OSError) as error:
                if getattr(error, "errno", None) in packet_writer.FULL:
                    raise
                refused[photo.name] = packet_writer.said(error)
    return refused


def contents(photos: list[Path]) -> dict[Path, bytes]:
    return {photo: photo.read_bytes() for photo in photos}


def no_litter(photos: list[Path]) -> bool:
    return not any(each.name.startswith(".") for each in photos[0].parent.iterdir())


def test_a_packet_is_written_and_taken_back(photos: list[Path], work: Path, ledger: Ledger) -> None:
    before = contents(photos)
    assert write(photos, work, ledger) == {}
    after = contents(photos)
    for photo in photos:
        assert after[photo] != before[photo]
        assert packets.read(after[photo]).xmp == NEW
        assert photo.stat().st_mtime_ns > LONG_AGO
    # one photograph, before and after
    known = decisions.read(ledger.path)
    hashes = [[embedding.replacing.sha256([each[photo]]) for photo in photos] for each in (before, after)]
    one, other = map(known.photographs, hashes)
    assert (one == other).all()
    assert (one >= 0).all()
    assert len(set(one)) == len(photos)
    assert no_litter(photos)
    assert embedding.undo(work) == (len(photos), 0)
    assert contents(photos) == before
    assert {photo.stat().st_mtime_ns for photo in photos} == {LONG_AGO}
    assert not (work / "embedded.jsonl").exists()
    # a run was killed before it changed any file
    (work / "embedded.pending").write_text(f"{photos[0].parent / '.a.partial'}\n", "utf8")
    (photos[0].parent / ".a.partial").touch()
    assert embedding.undo(work) == (0, 0)
    assert no_litter(photos)


def test_several_packets_are_taken_back_to_the_first(photos: list[Path], work: Path, ledger: Ledger) -> None:
    before = contents(photos)
    for xmp in (NEW, NEW + b" " * 4000, OLD, NEW + b" " * 10):
        assert write(photos, work, ledger, xmp) == {}
    assert embedding.undo(work) == (4 * len(photos), 0)
    assert contents(photos) == before


def test_the_same_packet_is_not_written_again(photos: list[Path], work: Path, ledger: Ledger) -> None:
    write([*photos, *photos], work, ledger)
    before = {photo: photo.stat() for photo in photos}
    journal_before = (work / "embedded.jsonl").read_bytes()
    assert journal_before.count(b"\n") == len(photos)
    write(photos, work, ledger)
    assert {photo: photo.stat().st_ino for photo in photos} == {photo: each.st_ino for photo, each in before.items()}
    assert (work / "embedded.jsonl").read_bytes() == journal_before


def test_undo_takes_those_that_are_asked_for(photos: list[Path], work: Path, ledger: Ledger) -> None:
    before = contents(photos)
    write(photos, work, ledger)
    write(photos, work, ledger, OLD * 2)
    assert embedding.undo(work, only=lambda path: path == photos[1]) == (2, 0)
    assert [photo for photo in photos if photo.read_bytes() == before[photo]] == [photos[1]]
    assert embedding.undo(work) == (2 * len(photos) - 2, 0)
    assert contents(photos) == before


def test_an_undo_that_is_stopped_forgets_none(photos: list[Path], work: Path, ledger: Ledger, monkeypatch: Any) -> None:
    monkeypatch.setattr(packet_writer, "WAITING", 2)
    before, asked = contents(photos), [True, False, False, False]
    write(photos, work, ledger)
    with pytest.raises(IndexError):
        embedding.undo(work, only=lambda path: asked.pop())
    assert embedding.count(work) == sum(embedding.undo(work)[0] for _ in range(2)) == len(photos) - 1
    assert contents(photos) == before


def test_what_was_changed_since_stays_unless_it_can_be_taken_out(
    photos: list[Path], work: Path, ledger: Ledger
) -> None:
    before = contents(photos)
    write(photos, work, ledger)
    photos[0].write_bytes(jpeg(b"another program's"))
    photos[1].unlink()
    told: dict[str, str] = {}
    assert embedding.undo(work, told=lambda path, why: told.update({path.name: why})) == (len(photos) - 2, 2)
    assert told == {photos[0].name: "it was changed since", photos[1].name: os.strerror(errno.ENOENT)}
    photos[1].write_bytes(before[photos[1]])
    assert embedding.undo(work, otherwise=lambda path: path == photos[0]) == (2, 0)


def test_times_and_permissions(photos: list[Path], work: Path, ledger: Ledger) -> None:
    photos[0].chmod(0o640)
    write(photos, work, ledger, keep_times=True)
    assert {photo.stat().st_mtime_ns for photo in photos} == {LONG_AGO}
    assert photos[0].stat().st_mode & 0o777 == 0o640


def test_links(tmp_path: Path, photos: list[Path], work: Path, ledger: Ledger) -> None:
    link = tmp_path / "link.jpg"
    link.symlink_to(photos[0])
    assert write([link], work, ledger) == {}
    assert link.is_symlink()
    assert packets.read_file(photos[0]).xmp == NEW
    other = tmp_path / "other.png"
    other.hardlink_to(photos[2])
    assert "2 names" in write([other], work, ledger)["other.png"]
    assert write([other], work, ledger, force=["links"]) == {}
    assert packets.read_file(photos[2]).xmp is None


def test_what_is_never_changed(tmp_path: Path, photos: list[Path], work: Path, ledger: Ledger) -> None:
    others = {
        "a.dng": (tiff(more={50706: b"\1\4\0\0"}), "raw"),
        "b.tif": (tiff(more={50706: b"\1\4\0\0"}), "raw"),
        "c.nef": (tiff(), "raw"),
        "d.cr2": (b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 100, "raw"),
        "e.gif": (b"GIF89a" + b"\0" * 100, "GIF"),
        "f.heic": (b"\0\0\0\x18ftypheic" + b"\0" * 100, "HEIC"),
        "g.jpg": (b"no picture", "no picture"),
        "h.jpg": (jpeg()[:200], "damaged"),
        "i.jpg": (b"", "no picture"),
        "j.jpg": (jpeg(after=b"a film"), "after the image"),
    }
    paths = [tmp_path / name for name in others]
    for path, (content, _) in zip(paths, others.values(), strict=True):
        path.write_bytes(content)
    read_only = tmp_path / "k.jpg"
    read_only.write_bytes(jpeg())
    read_only.chmod(0o444)
    missing = tmp_path / "missing.jpg"
    refused = write([*paths, read_only, missing, photos[0]], work, ledger)
    for name, (content, why) in others.items():
        assert why in refused.pop(name), name
        assert (tmp_path / name).read_bytes() == content
    assert refused == {"k.jpg": "the file is read-only", "missing.jpg": os.strerror(errno.ENOENT)}
    assert packets.read_file(photos[0]).xmp == NEW


def test_a_file_that_changes_meanwhile_stays_as_it_is(photos: list[Path], work: Path, ledger: Ledger) -> None:
    refused: list[str] = []
    with PacketWriter(work, ledger.append, refused=lambda path, why: refused.append(why)) as to:
        to.embed(photos[0], NEW)
        photos[0].write_bytes(b"another program's")
    assert refused == ["another program has changed it meanwhile"]
    assert photos[0].read_bytes() == b"another program's"
    assert no_litter(photos)


def test_one_writer_at_a_time(photos: list[Path], work: Path, ledger: Ledger) -> None:
    with PacketWriter(work, ledger.append), pytest.raises(UsageError, match="another process"):
        write(photos, work, ledger)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_every_write_may_fail(
    photos: list[Path], work: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The k-th call that writes fails, for every k: each file is as it was or as it should be."""
    photos = photos[:2]
    before = contents(photos)
    names = ("fsync", "utime", "replace")

    def failing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        return call

    failed = 0
    for k in range(1, 30):
        shutil.rmtree(work, ignore_errors=True)
        left = k
        with monkeypatch.context() as patched:
            for name in names:
                patched.setattr(os, name, failing(name, getattr(os, name)))
            try:
                refused = write(photos, work, ledger)
            except OSError:
                refused = {"all": ""}
        failed += bool(refused)
        assert no_litter(photos)
        for photo in photos:
            assert photo.read_bytes() == before[photo] or packets.read_file(photo).xmp == NEW
        # whatever happened, the journal leads back
        embedding.undo(work)
        assert contents(photos) == before
    assert failed >= 5


KILLED = """
import sys
from pathlib import Path
from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.exchange.embedding import PacketWriter, undo
folder, work, ledger = map(Path, sys.argv[1:4])
print("ready", flush=True)
for turn in range(1000):
    with PacketWriter(work, Ledger(ledger).append) as to:
        for photo in sorted(folder.iterdir()):
            if not photo.name.startswith("."):
                to.embed(photo, b"<x>" + b"%d" % turn * 300 + b"</x>")
    if turn % 3 == 2:
        undo(work)
"""


def test_a_killed_writer_leaves_whole_files(photos: list[Path], work: Path, ledger: Ledger) -> None:
    before = contents(photos)
    for moment in range(6):
        arguments = [sys.executable, "-c", KILLED, *map(str, (photos[0].parent, work, ledger.path))]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.03 + 0.037 * moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for photo in photos:
            found = packets.read_file(photo).xmp
            assert found in (None, OLD) or (found or b"").strip().endswith(b"</x>")
    embedding.undo(work)
    assert contents(photos) == before
    assert no_litter(photos)


def test_a_journal_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    entries = [journal.Replacement(str(k), "a", "b", k, [(0, k, b"x" * 7 * k)]) for k in range(300)]
    journal.append(path, entries[:200])
    with path.open("ab") as stream:
        stream.write(b'{"path": "cut o')
    journal.append(path, entries[200:])
    found = list(journal.latest_first(path))
    assert [entry for _, entry in found] == entries[::-1]
    text = path.read_bytes()
    assert all(text[start:].startswith(b'{"path":"%s"' % entry.path.encode()) for start, entry in found)
