"""`aaam-pipe import-keywords` as people type it."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import Invoke
from noted_pictures import jpeg, packet

from aaam_pipeline.formats import decisions as ledgers
from aaam_pipeline.formats import packets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(packet({"lr:hierarchicalSubject": ["animals|dog"]}), iptc=b""))
    (folder / "b.jpg").write_bytes(jpeg(packet({"dc:subject": ["Anna"]}), iptc=b""))
    (folder / "c.jpg").write_bytes(jpeg(iptc=b""))
    (folder / "c.jpg.xmp").write_bytes(packet({"dc:subject": ["Anna", "=1+1"]}))
    return folder


def test_a_list_first(folder: Path, invoke: Invoke) -> None:
    result = invoke("import-keywords", folder)
    assert result.exit_code == 0, result.output
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [["Anna", "2"], ["=1+1", "1"], ["dog", "1"]]
    assert "3 photographs: 3 with keywords; 3 keywords" in result.stderr
    assert "--write" in result.stderr
    assert not (folder.parent / "decisions.jsonl").exists()


def test_then_decisions(folder: Path, invoke: Invoke) -> None:
    dry = invoke("import-keywords", folder, "--dry-run", "--json")
    assert [json.loads(line)["new"] for line in dry.stdout.splitlines()] == [2, 1, 1]
    assert "4 decisions would be added" in dry.stderr
    assert not (folder.parent / "decisions.jsonl").exists()
    for _ in range(2):
        assert invoke("import-keywords", folder, "--write", "-q").exit_code == 0
        assert len(ledgers.read(folder.parent / "decisions.jsonl")) == 4
    assert "nothing is new" in invoke("import-keywords", folder, "--yes").stderr


def test_an_index_knows_the_words_and_the_contents(indexed: Path, photos: Path, tmp_path: Path, invoke: Invoke) -> None:
    ledger = tmp_path / "ledger.jsonl"
    name = sorted(photos.rglob("*.jpg"))[0]
    sidecar = name.with_name(name.name + ".xmp")
    sidecar.write_bytes(packet({"dc:subject": ["dogs", "Anna"]}))
    try:
        result = invoke("import-keywords", indexed, "--decisions", ledger, "--write", "--json")
    finally:
        sidecar.unlink()
    assert result.exit_code == 0, result.output
    found = {each["keyword"]: each for each in map(json.loads, result.stdout.splitlines())}
    assert (found["dogs"]["label"], found["dogs"]["known"], found["dogs"]["origins"]) == ("dog", True, {"sidecar": 1})
    assert not found["Anna"]["known"]
    assert len(ledgers.read(ledger)) == 2


def test_annotations_know_the_contents(annotated: Path, photos: Path, invoke: Invoke) -> None:
    sidecar = sorted(photos.rglob("*.jpg"))[0].with_suffix(".jpg.xmp")
    sidecar.write_bytes(packet({"dc:subject": ["Anna"]}))
    try:
        result = invoke("import-keywords", annotated, "--write", "--decisions", "ledger.jsonl")
    finally:
        sidecar.unlink()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Anna\t1\t")
    assert len(ledgers.read(Path("ledger.jsonl"))) == 1


def test_a_folder_without_keywords(folder: Path, invoke: Invoke) -> None:
    for path in folder.glob("*.xmp"):
        path.unlink()
    for path in folder.glob("*.jpg"):
        path.write_bytes(jpeg(iptc=b""))
    result = invoke("import-keywords", folder)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "3 photographs: none with keywords that people wrote\n"


def test_what_cannot_be_read_is_said(folder: Path, invoke: Invoke) -> None:
    (folder / "b.jpg").write_bytes(jpeg(b"<x:subject", iptc=b""))
    (folder / "c.jpg.xmp").write_text("no XML, and a subject")
    result = invoke("import-keywords", folder)
    assert result.exit_code == 3
    lines = result.stderr.splitlines()
    assert lines[0].startswith("photos/b.jpg: its XMP packet is not well-formed XML")
    assert lines[1].startswith("photos/c.jpg: c.jpg.xmp is not well-formed XML")
    assert lines[-1] == "error: 2 of 3 photographs cannot be read whole; the rest was taken"
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [["dog", "1"]]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("missing",), "no folder missing"),
        ((), "no index here"),
        (("photos/a.jpg",), "no folder photos/a.jpg"),
        (("empty",), "no images in empty"),
        (("photos", "--parents", "some"), "--parents"),
    ],
)
def test_wrong_inputs(folder: Path, invoke: Invoke, arguments: tuple[str, ...], why: str) -> None:
    (folder.parent / "empty").mkdir()
    result = invoke("import-keywords", *arguments)
    assert result.exit_code == 2
    assert why in result.stderr


def test_files_are_not_touched(folder: Path, invoke: Invoke) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    invoke("import-keywords", folder, "--write")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    assert packets.read_file(folder / "a.jpg").xmp
    shutil.rmtree(folder)
