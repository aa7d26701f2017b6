"""The ledger keeps what it confirmed: on full disks, and behind lines that are cut off."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from curation.dog_decisions import decided, said

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.curation import ledger as ledgers
from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.formats.decisions import Decision, Inheritance, encode, read


def test_decisions_are_added_at_the_end_and_nothing_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "decisions.jsonl"
    ledger = Ledger(path)
    assert ledger.append([]) == 0
    assert not path.exists()
    assert ledger.append([said(1), said(2)]) == 2
    before = path.read_bytes()
    more: list[Decision | Inheritance] = [said(1, "no"), Inheritance(sha256="b" * 64, same_as="a" * 64)]
    assert ledger.append(iter(more)) == 2
    assert path.read_bytes().startswith(before)
    assert decided(path) == [2]
    assert [each.name for each in path.parent.iterdir()] == ["decisions.jsonl"]


def test_lines_of_one_command_share_time_and_batch(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "decisions.jsonl")
    ledger.append([said(1)])
    ledger.append([said(2)])
    ledger.append([said(3, batch="mine", at="2020-01-01T00:00:00Z")])
    Ledger(ledger.path).append([said(4)])
    from aaam_pipeline.formats.decision_lines import blocks

    [block] = blocks(ledger.path)
    first, second, own, other = block.lines
    assert first.batch == second.batch != other.batch
    assert len(first.batch) == 12
    assert abs(time.time() - time.mktime(time.strptime(first.at, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60
    assert (own.batch, own.at) == ("mine", "2020-01-01T00:00:00Z")


@pytest.mark.parametrize("writes", range(1, 9))
def test_a_write_that_fails_leaves_the_ledger_as_it_was(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "decisions.jsonl"
    Ledger(path).append([said(1)])
    before = path.read_bytes()
    real, count = os.write, 0

    def failing(handle: int, content: bytes) -> int:
        nonlocal count
        count += 1
        if count == writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # half of it, as a disk that is nearly full does
        return real(handle, bytes(content[: max(1, len(content) // 2)]))

    monkeypatch.setattr(ledgers, "CHUNK", 400)
    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(OSError, match=r"No space .*decisions.jsonl"):
        Ledger(path).append([said(number) for number in range(2, 9)])
    monkeypatch.setattr(os, "write", real)
    assert path.read_bytes() == before
    Ledger(path).append([said(9)])
    assert decided(path) == [1, 9]


def test_what_cannot_be_synced_or_made_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "decisions.jsonl"
    Ledger(path).append([said(1)])
    before = path.read_bytes()

    def entries() -> Iterator[Decision]:
        yield from (said(number) for number in range(2, 9))
        raise KeyboardInterrupt

    monkeypatch.setattr(ledgers, "CHUNK", 100)
    with pytest.raises(KeyboardInterrupt):
        Ledger(path).append(entries())
    assert path.read_bytes() == before
    with pytest.raises(KeyboardInterrupt):
        Ledger(tmp_path / "new.jsonl").append(entries())
    assert not (tmp_path / "new.jsonl").exists()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EIO, "no disk")))
        with pytest.raises(OSError, match="no disk"):
            Ledger(path).append([said(2)])
    assert path.read_bytes() == before


def test_the_file_and_a_new_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "decisions.jsonl"
    synced: list[tuple[bool, int]] = []

    def watched(handle: int) -> None:
        # what is on disk by then is whole
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.stat().st_size))

    monkeypatch.setattr(os, "fsync", watched)
    Ledger(path).append([said(1)])
    size = path.stat().st_size
    assert synced == [(False, size), (True, size)]
    Ledger(path).append([said(2)])
    assert synced[2:] == [(False, path.stat().st_size)]


def test_a_cut_last_line_is_kept_aside_and_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    whole, last = encode(said(1)), encode(said(2))
    for cut in range(1, len(last) - 1, 7):
        path.write_bytes(whole + last[:cut])
        Ledger(path).append([said(3)])
        assert decided(path) == [1, 3]
        aside = path.with_name("decisions.jsonl.cut")
        assert aside.read_bytes() == last[:cut] + b"\n"
        aside.unlink()
    # what lacks nothing but its end is whole
    path.write_bytes(whole + last[:-1])
    Ledger(path).append([said(3)])
    assert decided(path) == [1, 2, 3]
    # longer than what is looked at in one step
    path.write_bytes(whole + b"x" * 200_000)
    Ledger(path).append([said(3)])
    assert decided(path) == [1, 3]
    assert aside.read_bytes() == b"x" * 200_000 + b"\n"


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 a photograph \n", b"image,label\na.jpg,dog\n", b"{\n}", b"oh"])
def test_nothing_is_added_to_another_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for write in (
        lambda: Ledger(path).append([said(1)]),
        lambda: Ledger(path).rewrite(lambda lines: encode(said(1))),
        lambda: Ledger(path).repair(),
    ):
        with pytest.raises(UsageError, match=r"photo.jpg is no ledger of decisions, and stays as it is"):
            write()
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\0\0\0", b"\xef\xbb\xbf", b"{", b'{"sha256":"a', b"oh\n", b"<<<<<<< HEAD\n"]
)
def test_a_ledger_that_is_damaged_from_its_beginning_is_one(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(content + (encode(said(2)) if content == b"oh\n" else b""))
    Ledger(path).append([said(1)])
    assert read(path).of_image(f"{1:064x}")


def test_a_ledger_is_written_where_its_link_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "decisions.jsonl"
    link.symlink_to(tmp_path / "real" / "ledger.jsonl")
    Ledger(link).append([said(1)])
    Ledger(link).rewrite(lambda lines: lines + encode(said(2)))
    assert link.is_symlink()
    assert decided(tmp_path / "real" / "ledger.jsonl") == [1, 2]
    assert decided(tmp_path / "real" / "ledger.jsonl.before") == [1]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write to .*; choose another --decisions"):
        Ledger(tmp_path / "file" / "decisions.jsonl").append([said(1)])
