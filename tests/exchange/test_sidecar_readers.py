"""Keywords as other programs read them: by their documented rules, and by exiftool and exiv2 where they are."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from xmp_samples import DARKTABLE, DIGIKAM, LIGHTROOM, listed, rest_of

from aaam_pipeline.formats import xmp
from aaam_pipeline.formats.xmp import Wanted
from aaam_pipeline.formats.xmp.fields import READ

WORDS = ["dog", "one, two", "Vögel", "犬 🐕", "a & <b> \"c\" 'd'", "x" * 500]
DEEP = ["lr:hierarchicalSubject", "digiKam:TagsList"]
SAMPLES = {"new": "", "Lightroom": LIGHTROOM, "digiKam": DIGIKAM, "darktable": DARKTABLE}
# the order in which a program looks for a field that is not empty
DIGIKAMS = ["digiKam:TagsList", "MicrosoftPhoto:LastKeywordXMP", "lr:hierarchicalSubject", "mediapro:CatalogSets"]
DIGIKAMS += ["acdsee:categories", "dc:subject"]
IMMICHS = ["digiKam:TagsList", "lr:hierarchicalSubject"]


def written(sample: str) -> xmp.Packet:
    packet = xmp.parse(sample.encode()) if sample else xmp.EMPTY
    wanted = [*(Wanted(word, 0.9) for word in WORDS), Wanted("AC/DC", 0.9)]
    return xmp.merge(packet, wanted, model="m", at="2026-11-29T10:00:00Z", created=not sample).packet


def first_of(packet: xmp.Packet, order: list[str]) -> set[tuple[str, ...]]:
    paths: dict[str, set[tuple[str, ...]]] = {}
    for keyword in packet.keywords():
        paths.setdefault(keyword.field, set()).add(keyword.path)
    return next((paths[name] for name in order if name in paths), set())


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("order", [DIGIKAMS, IMMICHS, ["dc:subject"], ["lr:hierarchicalSubject"]])
def test_a_program_that_stops_at_its_first_field_finds_ours_and_what_was_there(name: str, order: list[str]) -> None:
    before = xmp.parse(SAMPLES[name].encode()) if SAMPLES[name] else xmp.EMPTY
    after = first_of(written(SAMPLES[name]), order)
    levels = {level for path in after for level in path}
    assert levels >= set(WORDS)
    theirs = {path[-1] for path in first_of(before, [*order, *(field.name for field in READ)])}
    assert levels >= theirs - {"exported"}
    assert ("AC/DC",) in after if order == ["dc:subject"] else all("AC" not in level for level in levels)


def test_private_tags_of_darktable_are_in_no_field_of_others() -> None:
    for field in ("dc:subject", "digiKam:TagsList"):
        assert not [text for text in listed(written(DARKTABLE).to_bytes(), field) if "darktable" in text]


def run(program: str, *words: object) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [found, *map(str, words)], check=True, capture_output=True, encoding="utf8", env=environment
    ).stdout


@pytest.fixture(params=sorted(SAMPLES))
def sidecar(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "IMG.jpg.xmp"
    path.write_bytes(written(SAMPLES[request.param]).to_bytes())
    return path


def test_exiftool_reads_every_keyword(sidecar: Path) -> None:
    found = json.loads(run("exiftool", "-j", "-struct", "-G1", "-XMP:all", sidecar))[0]
    content = sidecar.read_bytes()
    names = {"dc:subject": "XMP-dc:Subject", "lr:hierarchicalSubject": "XMP-lr:HierarchicalSubject"}
    for field, name in {**names, "digiKam:TagsList": "XMP-digiKam:TagsList"}.items():
        assert found[name] == listed(content, field)


def test_exiv2_reads_every_keyword_and_the_kinds_of_lists(sidecar: Path) -> None:
    content = sidecar.read_bytes()
    for field, name in {"dc:subject": "Xmp.dc.subject", "lr:hierarchicalSubject": "Xmp.lr.hierarchicalSubject"}.items():
        assert run("exiv2", "-K", name, "-Pv", sidecar).strip() == ", ".join(listed(content, field))
    assert run("exiv2", "-K", "Xmp.digiKam.TagsList", "-Py", sidecar).strip() == "XmpSeq"


@pytest.mark.parametrize(
    "command", [["exiftool", "-overwrite_original", "-XMP:Rating=5"], ["exiv2", "-M", "set Xmp.xmp.Rating 5"]]
)
def test_what_they_write_anew_has_our_record_and_everything_else(sidecar: Path, command: list[str]) -> None:
    before = xmp.parse(sidecar.read_bytes())
    run(*command, sidecar)
    after = xmp.parse(sidecar.read_bytes())
    assert after.ours() == before.ours()
    again = xmp.merge(after, [Wanted(word, 0.8) for word in [*WORDS, "AC/DC"]], model="m", at="2027-01-01T00:00:00Z")
    assert again.packet is after
    undone = xmp.without_ours(after)
    assert {each.path for each in undone.keywords()} == {each.path for each in xmp.without_ours(before).keywords()}
    assert b"urn:aaam-pipe" not in undone.to_bytes()
    assert any("Rating" in each for each in rest_of(undone.to_bytes()))


def test_a_keyword_that_exiftool_deletes_is_a_deletion(sidecar: Path) -> None:
    run("exiftool", "-overwrite_original", "-XMP-dc:Subject-=dog", "-XMP-lr:HierarchicalSubject-=dog", sidecar)
    after = xmp.parse(sidecar.read_bytes())
    assert [entry.value for entry in xmp.deleted_since(after)] == ["dog"]
