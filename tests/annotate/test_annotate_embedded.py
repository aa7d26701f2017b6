"""Keywords written into a file make other bytes, and no other photograph: its row stays, and nothing is decoded."""

import hashlib
from pathlib import Path

import pytest
from conftest import make_photo
from runs import PARTS, annotate, by_name, note_decoded

from aaam_pipeline.annotate.options import Options
from aaam_pipeline.formats import packets
from aaam_pipeline.formats.decisions import Inheritance, encode

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(8):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path / "photos"


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return PARTS._replace(decisions=tmp_path / "decisions.jsonl")


def embed(photo: Path, ledger: Path | None, xmp: bytes = XMP) -> None:
    before = photo.read_bytes()
    after = b"".join(packets.spliced(before, packets.replaced(before, xmp)))
    photo.write_bytes(after)
    if ledger:
        old, new = (hashlib.sha256(each).hexdigest() for each in (before, after))
        with ledger.open("ab") as stream:
            stream.write(encode(Inheritance(sha256=new, same_as=old)))


def test_a_row_stays_when_keywords_were_embedded(
    folder: Path, options: Options, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert options.decisions
    out = folder.with_name("annotations")
    annotate(folder, tiny_bundle, out, options)
    before = by_name(out).to_pylist()
    decoded = note_decoded(monkeypatch)
    for photo in ("1.jpg", "2.jpg", "7.jpg"):
        embed(folder / photo, options.decisions)
    # a second time
    embed(folder / "2.jpg", options.decisions, XMP + b" " * 100)
    _, watcher = annotate(folder, tiny_bundle, out, options)
    assert decoded == []
    rows = by_name(out).to_pylist()
    for row, earlier in zip(rows, before, strict=True):
        content = (folder / row["path"]).read_bytes()
        assert (row["sha256"], row["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        assert row["mtime"].timestamp() == pytest.approx((folder / row["path"]).stat().st_mtime, abs=1e-5)
        facts = {"sha256", "bytes", "mtime"}
        assert {k: v for k, v in row.items() if k not in facts} == {k: v for k, v in earlier.items() if k not in facts}
    _, watcher = annotate(folder, tiny_bundle, out, options)
    assert "nothing to do" in watcher.text
    assert decoded == []


def test_what_somebody_else_changed_is_annotated_anew(
    folder: Path, options: Options, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder.with_name("annotations")
    annotate(folder, tiny_bundle, out, options)
    decoded = note_decoded(monkeypatch)
    embed(folder / "1.jpg", options.decisions)
    embed(folder / "2.jpg", None)
    # written into, and then edited
    embed(folder / "3.jpg", options.decisions)
    make_photo(folder / "3.jpg", 33)
    annotate(folder, tiny_bundle, out, options)
    assert sorted(Path(each).name for each in decoded) == ["2.jpg", "3.jpg"]


def test_a_ledger_is_not_needed(folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder.with_name("annotations")
    annotate(folder, tiny_bundle, out, PARTS)
    decoded = note_decoded(monkeypatch)
    embed(folder / "1.jpg", None)
    annotate(folder, tiny_bundle, out, PARTS._replace(decisions=folder / "none.jsonl"))
    assert len(decoded) == 1
