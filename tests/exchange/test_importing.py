"""Keywords of people become decisions: yes by a file, once, below what a person has decided."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from noted_pictures import jpeg, packet

from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.exchange.importing import Importer, ImportItem, ImportSummary
from aaam_pipeline.formats import decisions as ledgers
from aaam_pipeline.formats.decisions import Decision
from aaam_pipeline.imaging import sidecar_names

KNOWN = {"dog": "dog", "dogs": "dog", "animal": "animal"}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "decisions.jsonl")


def photo(path: Path, *subject: str, tree: Sequence[str] = (), **others: Any) -> ImportItem:
    path.write_bytes(jpeg(packet({"dc:subject": [*subject], "lr:hierarchicalSubject": [*tree]}), iptc=b"", **others))
    return ImportItem(path)


def sha256(item: ImportItem) -> str:
    return hashlib.sha256(item.file.read_bytes()).hexdigest()


def run(items: Sequence[ImportItem], ledger: Ledger | None = None, **options: Any) -> ImportSummary:
    importer = Importer(KNOWN.get, sidecar_names.finder(), **options)
    known = ledgers.read(ledger.path) if ledger else None
    return importer.run(items, known, ledger.append if ledger else None)


def listed(summary: ImportSummary) -> dict[str, tuple[int, str]]:
    return {"/".join(each.path): (each.photographs, each.label) for each in summary.sorted()}


def test_keywords_are_counted(tmp_path: Path) -> None:
    items = [
        photo(tmp_path / "a.jpg", "dogs", "Anna"),
        photo(tmp_path / "b.jpg", "dog", tree=["animal|dog|Rex"]),
        photo(tmp_path / "c.jpg"),
        ImportItem(tmp_path / "gone.jpg"),
    ]
    (tmp_path / "c.jpg.xmp").write_bytes(packet({"dc:subject": ["Anna"]}))
    summary = run(items)
    assert listed(summary) == {
        "Anna": (2, "Anna"),
        "animal": (1, "animal"),
        "animal/dog": (1, "dog"),
        "animal/dog/Rex": (1, "Rex"),
        "dogs": (1, "dog"),
    }
    assert (summary.photographs, summary.with_keywords, summary.gone, summary.faults) == (3, 3, 1, 0)
    assert [each.known for each in summary.sorted()] == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"parents": "none"}, {"Rex", "Anna"}),
        ({"parents": "all"}, {"Rex", "Anna", "People", "dog", "animal", "things"}),
        ({}, {"Rex", "Anna", "dog", "animal"}),
        ({"only_known": True}, {"dog", "animal"}),
        ({"exclude": ["PEOPLE/*"]}, {"Rex", "dog", "animal"}),
        ({"exclude": ["r*", "anna"]}, {"dog", "animal"}),
    ],
)
def test_which_levels_count(tmp_path: Path, options: dict[str, Any], expected: set[str]) -> None:
    item = photo(tmp_path / "a.jpg", tree=["things|animal|dog|Rex", "People|Anna"])
    assert {each.label for each in run([item], **options).tallies.values()} == expected


def test_decisions_are_written_once(tmp_path: Path, ledger: Ledger) -> None:
    items = [photo(tmp_path / "a.jpg", "dogs", tree=["People|Anna"]), photo(tmp_path / "b.jpg", "dog")]
    assert run(items, ledger, batch="one").decisions == 3
    decided = ledgers.read(ledger.path)
    verdicts = decided.of_image(sha256(items[0]))
    assert {label: (each.value, each.by, each.source) for label, each in verdicts.items()} == {
        "dog": ("yes", "file", "xmp dogs"),
        "Anna": ("yes", "file", "xmp People/Anna"),
    }
    assert decided.of_image(sha256(items[1]))["dog"].source == "xmp"
    before = ledger.path.read_bytes()
    assert before.count(b'"batch":"one"') == 3
    again = run(items, ledger)
    assert again.decisions == 0
    assert [each.decided for each in again.tallies.values()] == [0, 0, 0]
    assert ledger.path.read_bytes() == before
    # one more keyword is one more line; one that is missing is unknown
    photo(tmp_path / "b.jpg", "cat")
    assert run(items, ledger).decisions == 1
    assert set(ledgers.read(ledger.path).of_image(sha256(items[1]))) == {"cat"}


def test_a_person_outranks_a_file_and_a_file_a_model(tmp_path: Path, ledger: Ledger) -> None:
    item = photo(tmp_path / "a.jpg", "dog", "cat", "Anna")
    said = [("dog", "no", "person"), ("cat", "no", "model"), ("Anna", "no", "file")]
    ledger.append(
        [Decision(sha256=sha256(item), label=label, value=value, by=by) for label, value, by in said]  # type: ignore[arg-type]
    )
    assert run([item], ledger).decisions == 2
    verdicts = ledgers.read(ledger.path).of_image(sha256(item))
    assert {label: each.value for label, each in verdicts.items()} == {"dog": "no", "cat": "yes", "Anna": "yes"}


def test_a_hash_that_is_known_is_not_computed_again(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = photo(tmp_path / "a.jpg", "dog")
    status = item.file.stat()
    known = ImportItem(item.file, "0" * 64, status.st_size, status.st_mtime_ns // 1000)
    assert run([known], ledger).stale == 0
    assert b'"sha256":"' + b"0" * 64 in ledger.path.read_bytes()
    # the file was changed since
    changed = run([known._replace(mtime=0)], ledger)
    assert (changed.stale, changed.decisions) == (1, 1)
    assert sha256(item).encode() in ledger.path.read_bytes()


def test_dry_counts_without_writing(tmp_path: Path, ledger: Ledger) -> None:
    item = photo(tmp_path / "a.jpg", "dog")
    summary = Importer(KNOWN.get, sidecar_names.finder()).run([item], ledgers.read(ledger.path))
    assert summary.decisions == 1
    assert not ledger.path.exists()


def test_an_import_that_was_stopped_goes_on(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aaam_pipeline.exchange.importing.CHUNK", 2)
    items = [photo(tmp_path / f"{number}.jpg", "dog", f"word {number}") for number in range(7)]
    calls = 0

    def append(lines: Sequence[Decision]) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return ledger.append(lines)

    with pytest.raises(KeyboardInterrupt):
        Importer(KNOWN.get, sidecar_names.finder()).run(items, ledgers.read(ledger.path), append)
    assert len(ledgers.read(ledger.path)) == 8
    assert run(items, ledger).decisions == 6
    assert len(ledgers.read(ledger.path)) == 14


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    bad = photo(tmp_path / "a.jpg")
    bad.file.write_bytes(jpeg(b"<x:subject"))
    told: list[tuple[str, str]] = []
    summary = run([bad], told=lambda path, why: told.append((path.name, why)))
    assert summary.faults == 1
    assert told[0][0] == "a.jpg"
    assert "not well-formed" in told[0][1]
