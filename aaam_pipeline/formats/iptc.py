"""The keywords in IPTC's records (IIM), which older programs write beside or instead of XMP.

IPTC-NAA Information Interchange Model, version 4.2: record 2, data set 25 is a keyword; record 1, data set 90 names the
character set by an escape sequence of ISO 2022.
"""

from collections.abc import Iterator

MARK, KEYWORD, CHARACTER_SET = 0x1C, (2, 25), (1, 90)
LONGEST = 64
"""Bytes of a keyword: programs cut off what is longer."""
CHARACTER_SETS = {
    b"\x1b%G": "utf-8",
    b"\x1b.A": "iso8859-1",
    b"\x1b-A": "iso8859-1",
    b"\x1b-B": "iso8859-2",
    b"\x1b-C": "iso8859-3",
    b"\x1b-D": "iso8859-4",
    b"\x1b-L": "iso8859-5",
    b"\x1b-F": "iso8859-7",
    b"\x1b-M": "iso8859-9",
}


def keywords(records: bytes) -> list[str]:
    """Return the keywords of records, without blanks around them; what is damaged ends the list.

    Without a character set, text that is UTF-8 is taken as such, any other as Windows' Latin-1, as programs write it.
    """
    encoding, found = "", []
    for name, value in _data_sets(records):
        if name == CHARACTER_SET:
            encoding = CHARACTER_SETS.get(value[:3], "")
        elif name == KEYWORD:
            found.append(value)
    texts = (_text(value, encoding).strip("\0 \t\r\n") for value in found)
    return [text for text in texts if text]


def _data_sets(records: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    at = 0
    while at + 5 <= len(records) and records[at] == MARK:
        name, size = (records[at + 1], records[at + 2]), int.from_bytes(records[at + 3 : at + 5], "big")
        at += 5
        if size & 0x8000:
            # a long one: the number of bytes in which its length is written
            digits = size & 0x7FFF
            if digits > 4:
                return
            size = int.from_bytes(records[at : at + digits], "big")
            at += digits
        if at + size > len(records):
            return
        yield name, records[at : at + size]
        at += size


def _text(value: bytes, encoding: str) -> str:
    if encoding and encoding != "utf-8":
        return value.decode(encoding, "replace")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        # cut off in the middle of a character
        if error.end == len(value) == LONGEST or (encoding and error.end == len(value)):
            return value[: error.start].decode()
        return value.decode("utf-8", "replace") if encoding else _latin(value)


def _latin(value: bytes) -> str:
    try:
        return value.decode("cp1252")
    except UnicodeDecodeError:
        return value.decode("latin-1")
