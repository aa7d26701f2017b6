"""The keywords that people have given: every field, each keyword once, and nothing of ours."""

import struct
from pathlib import Path

import pytest
from noted_pictures import jpeg, packet, png, tiff, webp

from aaam_pipeline.formats import file_keywords


def records(*keywords: str) -> bytes:
    texts = [each.encode()[:64] for each in keywords]
    return b"".join(struct.pack(">BBBH", 0x1C, 2, 25, len(each)) + each for each in texts)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return tmp_path / "a.jpg"


def found(photo: Path, *sidecars: Path) -> dict[str, str]:
    """Return each keyword with its levels, and where it was found."""
    return {"|".join(each.path): each.origin for each in file_keywords.read(photo, sidecars).keywords}


@pytest.mark.parametrize("make", [jpeg, png, webp, tiff])
def test_every_format_is_read(tmp_path: Path, make: object) -> None:
    path = tmp_path / "picture"
    path.write_bytes(make(xmp=packet({"dc:subject": ["dog", "犬"]})))  # type: ignore[operator]
    iptc = {} if make is webp else {"bird": "iptc"}
    assert found(path) == {"dog": "xmp", "犬": "xmp", **iptc}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"dc:subject": ["dog", "Dog", " dog "]}, ["dog"]),
        # one keyword in all fields, as programs write it
        (
            {
                "dc:subject": ["Rex"],
                "lr:hierarchicalSubject": ["animals|dog|Rex"],
                "digiKam:TagsList": ["animals/dog/Rex"],
                "MicrosoftPhoto:LastKeywordXMP": ["animals/dog/Rex"],
            },
            ["animals|dog|Rex"],
        ),
        # all levels in the flat field, as Lightroom exports them
        (
            {"dc:subject": ["Rex", "dog", "animals"], "lr:hierarchicalSubject": ["animals|dog|Rex"]},
            ["animals|dog|Rex", "animals|dog", "animals"],
        ),
        ({"lr:hierarchicalSubject": ["animals|dog", "animals|cat"]}, ["animals|dog", "animals|cat"]),
        ({"digiKam:TagsList": ["People/Anna", "_Digikam_Internal_Tags_/Pick"]}, ["People|Anna"]),
        ({"dc:subject": ["darktable|exported", "dog"]}, ["darktable|exported", "dog"]),
        ({"lr:hierarchicalSubject": ["darktable|exported", "animals|dog"]}, ["animals|dog"]),
        ({"dc:subject": ["AC/DC"], "digiKam:TagsList": ["AC/DC"]}, ["AC/DC"]),
        ({"dc:subject": ["a,b", "a;b", "x" * 500, "🐕"]}, ["a,b", "a;b", "x" * 500, "🐕"]),
    ],
)
def test_a_keyword_is_one_whatever_the_fields(photo: Path, fields: dict[str, list[str]], expected: list[str]) -> None:
    photo.write_bytes(jpeg(packet(fields), iptc=b""))
    assert list(found(photo)) == expected


def test_what_we_wrote_is_no_keyword_of_a_person(photo: Path) -> None:
    fields = {"dc:subject": ["dog", "cat"], "digiKam:TagsList": ["dog", "cat"]}
    ours = {"dog": "dc:subject digiKam:TagsList"}
    photo.write_bytes(jpeg(packet(fields, ours), iptc=records("dog", "cat")))
    assert found(photo) == {"cat": "xmp"}
    # another program copied it into a field that we never write
    photo.write_bytes(jpeg(packet(fields | {"MicrosoftPhoto:LastKeywordXMP": ["dog", "cat"]}, ours), iptc=b""))
    assert found(photo) == {"cat": "xmp"}
    # somebody put it into a tree: it is theirs
    photo.write_bytes(jpeg(packet(fields | {"lr:hierarchicalSubject": ["animals|dog"]}, ours), iptc=b""))
    assert found(photo) == {"animals|dog": "xmp", "cat": "xmp"}


def test_what_iptc_cut_off_is_the_same_keyword(photo: Path) -> None:
    long = "a keyword that is longer than the sixty-four bytes that IPTC has for it"
    photo.write_bytes(jpeg(packet({"dc:subject": [long]}), iptc=records(long, "cat")))
    assert found(photo) == {long: "xmp", "cat": "iptc"}


def test_sidecars(photo: Path) -> None:
    photo.write_bytes(jpeg(packet({"dc:subject": ["dog"]}), iptc=b""))
    sidecar = photo.with_name("a.jpg.xmp")
    sidecar.write_bytes(packet({"dc:subject": ["dog", "cat", "we"]}, {"we": "dc:subject"}))
    assert found(photo, sidecar) == {"dog": "xmp", "cat": "sidecar"}
    # of a photograph of another format
    photo.write_bytes(b"GIF89a")
    assert found(photo, sidecar) == {"dog": "sidecar", "cat": "sidecar"}


def test_what_is_damaged_is_said_and_the_rest_is_read(photo: Path) -> None:
    sidecar, missing = photo.with_name("a.jpg.xmp"), photo.with_name("a.xmp")
    sidecar.write_text("no XML, and a subject")
    photo.write_bytes(jpeg(b"<x:subject", iptc=records("cat")))
    read = file_keywords.read(photo, [sidecar, missing])
    assert [each.path for each in read.keywords] == [("cat",)]
    packet_fault, sidecar_fault, missing_fault = read.faults
    assert packet_fault.startswith("its XMP packet is not well-formed XML")
    assert sidecar_fault.startswith("a.jpg.xmp is not well-formed XML")
    assert missing_fault == "a.xmp: No such file or directory"
    photo.write_bytes(jpeg()[:300])
    assert "damaged" in file_keywords.read(photo).faults[0]
    with pytest.raises(FileNotFoundError):
        file_keywords.read(missing)
