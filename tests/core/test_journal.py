"""A journal is read back as far as it was written, by the same work only."""

from pathlib import Path

import msgspec
import pytest

from aaam_pipeline.core.journal import Journal


class _Step(msgspec.Struct):
    name: str
    done: int


STEPS = [_Step("a\nb", 1), _Step("ü", 2), _Step("c", 3)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    journal: Journal[_Step] = Journal.begin(tmp_path / "journal", "work")
    for step in STEPS:
        journal.append(step)
    return journal.path


def entries(path: Path, identity: str = "work") -> list[_Step] | None:
    journal = Journal.resume(path, identity, _Step)
    return None if journal is None else journal.entries


def test_what_was_appended_is_read_back(written: Path) -> None:
    assert entries(written) == STEPS
    assert len(written.read_bytes().splitlines()) == 1 + len(STEPS)


def test_every_cut_loses_only_the_lines_it_meets_and_the_next_entry_begins_a_line(written: Path) -> None:
    whole = written.read_bytes()
    for cut in range(len(whole) + 1):
        written.write_bytes(whole[:cut])
        lines = whole[:cut].count(b"\n")
        journal = Journal.resume(written, "work", _Step)
        if not lines:
            assert journal is None
            continue
        assert journal is not None
        assert journal.entries == STEPS[: lines - 1]
        journal.append(_Step("next", 9))
        assert entries(written) == [*STEPS[: lines - 1], _Step("next", 9)]


def test_other_work_finds_nothing_to_resume(written: Path) -> None:
    assert entries(written, "other") is None
    assert entries(written.with_name("none")) is None


@pytest.mark.parametrize("damage", [b"", b"\xff{\n", b'"work"\n{"name": 3}\n', b'"work"\n\n', b"[]\n", b'"\xff"\n'])
def test_a_damaged_journal_is_none(damage: bytes, written: Path) -> None:
    written.write_bytes(damage)
    assert entries(written) is None


def test_begin_replaces_and_close_removes(written: Path) -> None:
    journal: Journal[_Step] = Journal.begin(written, "other")
    assert entries(written, "other") == []
    journal.close()
    assert not written.exists()
