"""Keywords written into photographs: merged as in sidecars, and taken back byte for byte."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keyword_library import Library
from noted_pictures import EVERY, jpeg, packet, segment, tiff
from PIL import Image

from aaam_pipeline.formats import decisions, packets, xmp

PLAIN = {f"{name}.{name.rpartition(' ')[2].removeprefix('big')}": make for name, make in EVERY.items()}


@pytest.fixture
def library(tmp_path: Path, invoke: Callable[..., Any]) -> Library:
    return Library(tmp_path, invoke)


def put(library: Library, name: str, content: bytes) -> Path:
    path = library.sidecar(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def subject(path: Path) -> list[str]:
    content = packets.read_file(path).xmp
    return [each.text for each in xmp.parse(content or b"").keywords() if each.field == "dc:subject"]


def contents(library: Library) -> dict[str, bytes]:
    return {name: library.sidecar(name).read_bytes() for name in library.names()}


def test_labels_go_into_every_format_and_out_again(library: Library) -> None:
    for name, make in PLAIN.items():
        put(library, name, make(None))
    library.annotate({name: {"dog": 0.9, "cat": 0.8} for name in PLAIN})
    before = contents(library)
    assert "8 changed" in library.write("--in-place").stderr
    assert library.names() == set(PLAIN)
    for name in PLAIN:
        # and what IPTC alone has, which readers of XMP would not see
        assert subject(library.sidecar(name)) == ["dog", "cat"] + ["bird"] * ("webp" not in name)
    # nothing is new, though nobody has annotated since
    after = {name: library.sidecar(name).stat().st_mtime_ns for name in PLAIN}
    assert library.write("--in-place").stderr == "files: 8 unchanged\n"
    assert {name: library.sidecar(name).stat().st_mtime_ns for name in PLAIN} == after
    library.undo()
    assert contents(library) == before
    assert "8 changes" not in library.undo().stderr


def test_a_dry_run_changes_nothing(library: Library, tmp_path: Path) -> None:
    put(library, "a.jpg", jpeg())
    put(library, "b.jpg", jpeg(after=b"a film"))
    library.annotate({"a.jpg": {"dog": 0.9}, "b.jpg": {"dog": 0.9}})
    before, files = contents(library), set(tmp_path.rglob("*"))
    result = library.write("--in-place", "--dry-run")
    assert "embed  +dog" in result.stdout
    assert "1 photograph: there is data after the image" in result.stderr
    assert contents(library) == before
    assert set(tmp_path.rglob("*")) == files
    library.write("--in-place", "-q")
    assert "1 change to take back" in library.undo("--dry-run").stderr
    assert contents(library) != before


def test_a_persons_keywords_stay_and_a_deleted_one_is_a_no(library: Library) -> None:
    theirs = packet({"dc:subject": ["Anna"], "lr:hierarchicalSubject": ["People|Anna"]})
    photo = put(library, "a.jpg", jpeg(theirs, iptc=b"\x1c\x02\x19\x00\x04bird"))
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    library.write("--in-place")
    # what IPTC alone has would be hidden
    assert set(subject(photo)) == {"Anna", "dog", "cat", "bird"}
    content = packets.read_file(photo).xmp or b""
    edited = content.replace(b"<rdf:li>dog</rdf:li>", b"")
    assert edited.count(b"dog") < content.count(b"dog")
    whole = photo.read_bytes()
    photo.write_bytes(b"".join(packets.spliced(whole, packets.replaced(whole, edited))))
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    assert "decided no" in library.write("--in-place").stderr
    assert set(subject(photo)) == {"Anna", "cat", "bird"}
    library.annotate({"a.jpg": {"dog": 0.99, "cat": 0.8}})
    library.write("--in-place")
    assert set(subject(photo)) == {"Anna", "cat", "bird"}


def test_what_takes_no_packet_gets_a_sidecar(library: Library) -> None:
    put(library, "a.nef", tiff())
    put(library, "b.gif", b"GIF89a" + b"\0" * 40)
    put(library, "c.jpg", jpeg())
    put(library, "c.jpg.xmp", packet({"dc:subject": ["Anna"]}))
    library.annotate({name: {"dog": 0.9} for name in ("a.nef", "b.gif", "c.jpg")})
    before = contents(library)
    library.write("--in-place")
    assert library.names() == {"a.nef", "a.nef.xmp", "b.gif", "b.gif.xmp", "c.jpg", "c.jpg.xmp"}
    assert library.texts("c.jpg.xmp") == ["Anna", "dog"]
    assert "dog" in subject(library.sidecar("c.jpg"))
    assert library.sidecar("a.nef").read_bytes() == tiff()
    library.undo()
    assert contents(library) == before


def test_a_keyword_deleted_in_a_sidecar_goes_from_the_file_too(library: Library) -> None:
    photo = put(library, "a.jpg", jpeg(iptc=b""))
    sidecar = put(library, "a.jpg.xmp", packet({"dc:subject": ["Anna"]}))
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    library.write("--in-place")
    assert subject(photo) == ["dog", "cat"]
    sidecar.write_bytes(sidecar.read_bytes().replace(b"<rdf:li>dog</rdf:li>", b""))
    library.write("--in-place")
    assert library.texts("a.jpg.xmp") == ["Anna", "cat"]
    assert subject(photo) == ["cat"]
    assert library.verdicts("a.jpg")["dog"] == "file no"


@pytest.mark.parametrize(
    ("kind", "content", "why"),
    [
        ("trailing", jpeg(after=b"a film"), "there is data after the image"),
        ("signed", jpeg(extra=segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb\0\0\0\x18jumdc2pa")), "signed"),
        ("links", jpeg(), "2 names"),
    ],
)
def test_files_that_would_be_harmed_are_left_out_unless_forced(
    library: Library, tmp_path: Path, kind: str, content: bytes, why: str
) -> None:
    photo = put(library, "a.jpg", content)
    if kind == "links":
        (tmp_path / "other.jpg").hardlink_to(photo)
    library.annotate({"a.jpg": {"dog": 0.9}})
    result = library.write("--in-place")
    assert why in result.stderr
    assert f"--force-{kind}" in result.stderr
    assert photo.read_bytes() == content
    library.write("--in-place", f"--force-{kind}")
    assert "dog" in subject(photo)
    library.undo()
    assert photo.read_bytes() == content


def test_read_only_files_and_damage_are_said(library: Library) -> None:
    put(library, "a.jpg", jpeg()).chmod(0o444)
    put(library, "b.jpg", jpeg(b"<no xml"))
    put(library, "c.jpg", jpeg(packet({"dc:subject": ["Anna"]}).decode().encode("utf-16-le")))
    put(library, "d.jpg", jpeg()[:200])
    library.annotate({name: {"dog": 0.9} for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")})
    before = contents(library)
    result = library.write("--in-place", "--json", code=3)
    errors = {each["path"]: each["error"] for each in map(json.loads, result.stdout.splitlines())}
    assert "not well-formed" in errors["b.jpg"]
    assert "utf-16-le" in errors["c.jpg"]
    assert "damaged" in errors["d.jpg"]
    assert "left out: 1 photograph: the file is read-only; chmod u+w" in result.stderr
    assert contents(library) == before


def test_times_are_new_unless_kept(library: Library) -> None:
    for name, options in (("a.jpg", ()), ("b.jpg", ("--keep-times",))):
        photo = put(library, name, jpeg())
        os.utime(photo, ns=(10**18, 10**18))
        library.annotate({name: {"dog": 0.9}})
        library.write("--in-place", *options)
        assert (photo.stat().st_mtime_ns == 10**18) == bool(options)
        library.undo()
        assert photo.stat().st_mtime_ns == 10**18


def test_undo_takes_ours_out_of_a_file_that_was_changed_since(library: Library) -> None:
    photo = put(library, "a.jpg", jpeg())
    library.annotate({"a.jpg": {"dog": 0.9}})
    library.write("--in-place")
    written = packets.read_file(photo).xmp or b""
    content = photo.read_bytes()
    rated = written.replace(b"rdf:about", b'xmp:Rating="5" xmlns:xmp="http://ns.adobe.com/xap/1.0/" rdf:about')
    rated = (
        rated if rated != written else written.replace(b"<rdf:Description", b'<rdf:Description r:a="5" xmlns:r="r:"')
    )
    photo.write_bytes(b"".join(packets.spliced(content, packets.replaced(content, rated))))
    assert "1 change taken back" in library.undo().stderr
    left = packets.read_file(photo).xmp or b""
    assert b'="5"' in left
    assert b"dog" not in left
    assert b"aaam" not in left.replace(b'x:xmptk="aaam-pipe"', b"")


def test_what_was_embedded_is_one_photograph_for_decisions(library: Library) -> None:
    photo = put(library, "a.jpg", jpeg())
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.9}})
    library.decide("a.jpg", "cat", "no")
    library.write("--in-place")
    assert subject(photo) == ["dog", "bird"]
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.9}})
    library.write("--in-place")
    assert subject(photo) == ["dog", "bird"]
    with Image.open(photo) as image:
        image.load()
    assert len(decisions.read(library.ledger)) == 1


def test_options_of_in_place_alone_are_refused(library: Library) -> None:
    put(library, "a.jpg", jpeg())
    library.annotate({"a.jpg": {"dog": 0.9}})
    assert "is of --in-place" in library.write("--keep-times", code=2).stderr
    assert "is of --in-place" in library.write("--force-links", code=2).stderr


@pytest.mark.parametrize("name", [name for name in PLAIN if "bigtiff" not in name])
@pytest.mark.parametrize(
    "reader", [("exiftool", "-s3", "-sep", ", ", "-XMP-dc:Subject"), ("exiv2", "-g", "Xmp.dc.subject", "-Pt", "pr")]
)
def test_another_program_reads_them(library: Library, name: str, reader: tuple[str, ...]) -> None:
    if not shutil.which(reader[0]):
        pytest.skip(f"no {reader[0]}")
    photo = put(library, name, PLAIN[name](None))
    library.annotate({name: {"dog": 0.9, "a/b": 0.8}})
    library.write("--in-place")
    said = subprocess.run([*reader, photo], capture_output=True, text=True, check=True).stdout
    assert {"dog", "a/b"} <= set(re.split(r"[\n,]\s*", said.strip()))


def remove_inside(photo: Path, word: bytes) -> None:
    """Take a keyword out of a photograph's packet, as another program does."""
    content, whole = packets.read_file(photo).xmp or b"", photo.read_bytes()
    edited = content.replace(b"<rdf:li>" + word + b"</rdf:li>", b"")
    assert edited != content
    photo.write_bytes(b"".join(packets.spliced(whole, packets.replaced(whole, edited))))


def test_a_keyword_deleted_in_the_file_goes_from_its_sidecar_in_the_same_run(library: Library) -> None:
    photo = put(library, "a.jpg", jpeg(iptc=b""))
    sidecar = put(library, "a.jpg.xmp", packet({"dc:subject": ["Anna"]}))
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    library.write("--in-place")
    remove_inside(photo, b"dog")
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    library.write("--in-place")
    assert library.texts("a.jpg.xmp") == ["Anna", "cat"]
    assert library.verdicts("a.jpg")["dog"] == "file no"
    before = sidecar.stat().st_mtime_ns
    assert "1 unchanged" in library.write("--in-place").stderr
    assert sidecar.stat().st_mtime_ns == before


def test_a_keyword_deleted_in_the_file_does_not_come_back_in_a_sidecar(library: Library) -> None:
    photo = put(library, "a.jpg", jpeg(iptc=b""))
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    library.write("--in-place")
    remove_inside(photo, b"dog")
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    library.write()
    assert library.texts("a.jpg.xmp") == ["cat"]
    assert library.verdicts("a.jpg")["dog"] == "file no"
    ledger = library.ledger.read_bytes()
    assert "1 unchanged" in library.write().stderr
    assert library.ledger.read_bytes() == ledger
    library.decide("a.jpg", "dog", "yes", at="2099-01-01T00:00:00Z")
    library.write()
    assert library.texts("a.jpg.xmp") == ["cat", "dog"]


def test_a_file_that_a_link_leads_to_has_its_bytes_again(library: Library, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "b.jpg"
    file.write_bytes(jpeg())
    library.photos.mkdir()
    (library.photos / "a.jpg").symlink_to(file)
    library.annotate({"a.jpg": {"dog": 0.9}})
    library.write("--in-place")
    assert "dog" in subject(file)
    library.undo()
    assert file.read_bytes() == jpeg()
    assert (library.photos / "a.jpg").is_symlink()


def test_a_keyword_deleted_in_the_file_before_an_undo_does_not_come_back(library: Library) -> None:
    photo = put(library, "a.jpg", jpeg(iptc=b""))
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    library.write("--in-place")
    remove_inside(photo, b"dog")
    library.undo()
    library.annotate({"a.jpg": {"dog": 0.9, "cat": 0.8}})
    assert library.verdicts("a.jpg")["dog"] == "file no"
    library.write("--in-place")
    assert subject(photo) == ["cat"]
