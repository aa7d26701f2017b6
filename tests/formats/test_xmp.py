import codecs
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xmp_samples import ATTRIBUTE, DARKTABLE, DIGIKAM, LIGHTROOM, NOTHING, PLAIN, SAMPLES, listed, rest_of

from aaam_pipeline.formats import xmp
from aaam_pipeline.formats.xmp import Wanted, XmpError

HARD = [
    "one, two",
    "a & b <c> \"d\" 'e'",
    "犬",
    "собака",
    "كلب",
    "👩‍👩‍👧 family",
    "x" * 500,
    unicodedata.normalize("NFC", "Vögel"),
    unicodedata.normalize("NFD", "Ärger"),
    "]]>",
    "&amp;",
    "tab\tand\nline\rends",
]


def written(packet: xmp.Packet, *labels: str) -> xmp.Packet:
    wanted = [Wanted(label, 0.9) for label in labels]
    return xmp.merge(packet, wanted, model="model-1", at="2026-11-29T10:00:00Z").packet


def texts(packet: xmp.Packet) -> list[tuple[str, str]]:
    return [(each.field, each.text) for each in packet.keywords()]


@pytest.mark.parametrize("name", SAMPLES)
def test_all_that_is_not_ours_is_kept_and_an_undo_leaves_the_same_bytes(name: str) -> None:
    before = SAMPLES[name].encode()
    packet = xmp.parse(before)
    after = written(packet, "dog", "a/b", "Harbour").to_bytes()
    assert after != before
    assert rest_of(after) == rest_of(before)
    assert {"dog", "a/b"} < set(listed(after, "dc:subject"))
    for field in ("lr:hierarchicalSubject", "digiKam:TagsList"):
        assert "dog" in listed(after, field)
        assert "a/b" not in listed(after, field)
    assert written(xmp.parse(after), "dog", "a/b", "Harbour").to_bytes() == after
    undone = xmp.without_ours(xmp.parse(after)).to_bytes()
    if name == "attribute":
        assert rest_of(undone) == rest_of(before)
        assert listed(undone, "dc:subject") == ["one"]
    else:
        assert undone == before


def test_what_was_there_is_in_every_field_so_that_none_hides_it() -> None:
    after = written(xmp.parse(LIGHTROOM.encode()), "dog").to_bytes()
    assert listed(after, "dc:subject") == ["Harbour", "Places", "Sweden", "dog"]
    assert listed(after, "lr:hierarchicalSubject") == ["Harbour", "Places|Sweden", "dog"]
    assert set(listed(after, "digiKam:TagsList")) == {"Harbour", "Places/Sweden", "dog"}
    after = written(xmp.parse(DARKTABLE.encode()), "dog").to_bytes()
    assert set(listed(after, "digiKam:TagsList")) == {"nature/forest", "dog"}
    assert listed(after, "lr:hierarchicalSubject")[0] == "darktable|exported"


def test_a_field_that_would_hide_a_keyword_is_not_made() -> None:
    packet = xmp.parse(NOTHING.encode())
    theirs = packet.with_keywords({"lr:hierarchicalSubject": ["music|AC/DC"]}, {}, [])
    after = written(theirs, "dog").to_bytes()
    assert listed(after, "lr:hierarchicalSubject") == ["music|AC/DC", "dog"]
    assert listed(after, "digiKam:TagsList") == []


def test_keywords_of_every_field_are_read_with_their_levels() -> None:
    packet = xmp.parse(DIGIKAM.encode())
    by_field = {each.field: each.path for each in packet.keywords()}
    deep = ("Animals", "Bird")
    assert by_field == {
        "dc:subject": ("Bird",),
        "lr:hierarchicalSubject": deep,
        "digiKam:TagsList": deep,
        "MicrosoftPhoto:LastKeywordXMP": deep,
        "mediapro:CatalogSets": deep,
        "acdsee:categories": deep,
    }
    assert [each.path for each in xmp.parse(PLAIN.encode()).keywords()] == [("alone",)]
    assert [each.path for each in xmp.parse(ATTRIBUTE.encode()).keywords()] == [("one",)]


def test_a_label_that_is_there_in_another_case_or_in_a_tree_is_not_written_again() -> None:
    packet = xmp.parse(DIGIKAM.encode())
    assert written(packet, "bird") is packet
    assert packet.ours() == []


@pytest.mark.parametrize("label", HARD)
def test_hard_keywords_come_back_as_they_were(label: str) -> None:
    after = written(xmp.EMPTY, label, "plain").to_bytes(padding=100)
    packet = xmp.parse(after)
    assert [text for field, text in texts(packet) if field == "dc:subject"] == [label, "plain"]
    assert listed(after, "dc:subject") == [label, "plain"]
    assert packet.ours()[0].value == label


@given(st.lists(st.text(max_size=20), max_size=6, unique=True), st.sampled_from(sorted(SAMPLES)))
@settings(max_examples=150, deadline=None)
def test_any_labels_are_written_read_and_taken_out_again(labels: list[str], name: str) -> None:
    before = xmp.parse(SAMPLES[name].encode())
    merged = xmp.merge(before, [Wanted(label) for label in labels], model="m", at="t")
    after = xmp.parse(merged.packet.to_bytes())
    there = {text for field, text in texts(after) if field == "dc:subject"}
    assert set(merged.added) <= there
    assert rest_of(after.to_bytes()) == rest_of(before.to_bytes())
    assert set(texts(before)) <= set(texts(after))
    undone = xmp.without_ours(after)
    assert set(texts(undone)) == set(texts(before))
    if name != "attribute":
        assert undone == before


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-be", b""),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("iso-8859-1", b""),
    ],
)
def test_a_packet_keeps_its_encoding_and_the_zeros_after_it(encoding: str, mark: bytes) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?>' if encoding.startswith("iso") else ""
    before = mark + (declared + LIGHTROOM).encode(encoding) + b"\0" * 8
    packet = xmp.parse(before)
    assert packet.to_bytes() == before
    after = written(packet, "dög 犬").to_bytes()
    assert after.startswith(mark)
    assert after.endswith(b"\0" * 8)
    assert ("dc:subject", "dög 犬") in texts(xmp.parse(after))
    assert xmp.without_ours(xmp.parse(after)).to_bytes() == before


def test_padding_of_a_packet_can_be_chosen() -> None:
    body = xmp.EMPTY.to_bytes(padding=0)
    padded = xmp.EMPTY.to_bytes(padding=2048)
    assert len(padded) == len(body) + 2048
    assert padded.startswith(b"<?xpacket begin=")
    assert padded.endswith(b'<?xpacket end="w"?>')
    assert xmp.parse(padded).to_bytes(padding=0) == body


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\0\0", "empty"),
        (b"hello", "not well-formed"),
        (LIGHTROOM.encode()[:-30], "not well-formed"),
        (b"<svg/>", "not XMP"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type"),
        (b"<x>&a;</x>", "not well-formed"),
        (b'<?xml version="1.0" encoding="klingon"?><x/>', "unknown encoding"),
        (b"<x>\xff</x>", "not the utf-8"),
        (b"\xff\xfe<\0x", "utf-16|well-formed"),
    ],
)
def test_what_is_no_packet_is_refused_in_one_line(content: bytes, why: str) -> None:
    with pytest.raises(XmpError, match=why):
        xmp.parse(content)


def test_a_field_in_an_unknown_spelling_is_left_alone() -> None:
    odd = PLAIN.replace("alone", "<rdf:Description><rdf:type rdf:resource='x'/></rdf:Description>")
    with pytest.raises(XmpError, match="left as it is"):
        written(xmp.parse(odd.encode()), "dog")


@given(st.binary(max_size=60), st.integers(0, len(DIGIKAM.encode())))
@settings(max_examples=150, deadline=None)
def test_damaged_packets_end_in_the_one_error_or_are_read(piece: bytes, place: int) -> None:
    content = DIGIKAM.encode()
    try:
        packet = xmp.parse(content[:place] + piece + content[place + len(piece) :])
        packet.keywords()
    except XmpError:
        return


def test_a_record_is_read_in_the_spellings_of_other_programs() -> None:
    packet = written(xmp.EMPTY, "dog")
    text = packet.to_bytes().decode()
    start = text.index("<rdf:li aaam:kind")
    end = text.index("/>", start)
    names = text[start + len("<rdf:li") : end]
    parts = [part.partition("=") for part in names.split('" ')]
    children = "".join(f"<{n.strip()}>{value.strip(chr(34))}</{n.strip()}>" for n, _, value in parts)
    resource = f'<rdf:li rdf:parseType="Resource">{children}</rdf:li>'
    nested = f"<rdf:li><rdf:Description{names}/></rdf:li>"
    for spelt in (resource, nested):
        other = xmp.parse((text[:start] + spelt + text[end + 2 :]).encode())
        assert other.ours() == packet.ours()
        assert xmp.without_ours(other).is_empty()


def test_a_record_that_another_program_moved_leaves_nothing_behind() -> None:
    text = written(xmp.parse(LIGHTROOM.encode()), "dog").to_bytes().decode()
    start, end = text.index("<aaam:Written>"), text.index("</aaam:Written>") + len("</aaam:Written>")
    moved = text[:start] + text[end:]
    place = moved.index("<dc:title>")
    moved = moved[:place] + text[start:end] + moved[place:]
    moved = moved.replace("xmlns:xmp=", 'xmlns:aaam="urn:aaam-pipe:keywords:1.0/" xmlns:xmp=', 1)
    undone = xmp.without_ours(xmp.parse(moved.encode())).to_bytes()
    assert b"urn:aaam" not in undone.split(b"</dc:title>")[0]
    assert rest_of(undone) == rest_of(LIGHTROOM.encode())
    assert listed(undone, "digiKam:TagsList") == []
