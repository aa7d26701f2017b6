import struct

import pytest

from aaam_pipeline.formats.iptc import keywords


def data_set(record: int, number: int, value: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


UTF8, LATIN1, LATIN2 = (data_set(1, 90, each) for each in (b"\x1b%G", b"\x1b.A", b"\x1b-B"))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (b"", []),
        (data_set(2, 25, b"dog"), ["dog"]),
        (data_set(2, 5, b"title") + data_set(2, 25, b" dog ") + data_set(2, 25, b"cat\0"), ["dog", "cat"]),
        (UTF8 + data_set(2, 25, "Vögel 犬 🐕".encode()), ["Vögel 犬 🐕"]),
        # without a character set: UTF-8 where it is, else Windows' Latin-1
        (data_set(2, 25, "Vögel".encode()), ["Vögel"]),
        (data_set(2, 25, "Vögel".encode("latin-1")), ["Vögel"]),
        (data_set(2, 25, "l’été".encode("cp1252")), ["l’été"]),
        (data_set(2, 25, b"a\x81b"), ["a\x81b"]),
        (LATIN1 + data_set(2, 25, "été".encode("latin-1")), ["été"]),
        (LATIN2 + data_set(2, 25, "Łódź".encode("iso8859-2")), ["Łódź"]),
        # 64 bytes, cut off within a character
        (UTF8 + data_set(2, 25, ("ä" * 40).encode()[:63]), ["ä" * 31]),
        (data_set(2, 25, b"a" + ("ä" * 40).encode()[:63]), ["a" + "ä" * 31]),
        (UTF8 + data_set(2, 25, b"a\xffb"), ["a\N{REPLACEMENT CHARACTER}b"]),
        # a long one writes its length in bytes of its own
        (struct.pack(">BBBHI", 0x1C, 2, 25, 0x8004, 3) + b"dog", ["dog"]),
        (data_set(2, 25, b"dog") + b"\x1c\x02\x19\x00\xffcut", ["dog"]),
        (data_set(2, 25, b"dog") + b"no data set", ["dog"]),
        (data_set(2, 25, b"   "), []),
    ],
)
def test_keywords(records: bytes, expected: list[str]) -> None:
    assert keywords(records) == expected


def test_whatever_is_cut_off_ends_the_list() -> None:
    whole = UTF8 + data_set(2, 25, b"dog") + data_set(2, 25, b"cat")
    for end in range(len(whole)):
        assert keywords(whole[:end]) in ([], ["dog"])
