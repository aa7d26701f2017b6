"""Packets in files: only they change, whatever the format."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import pytest
from noted_pictures import EVERY, IPTC, OLD, jpeg, picture, png, saved, segment, tiff, webp, with_segments
from PIL import Image

from aaam_pipeline.formats import packets
from aaam_pipeline.formats.packets import FileContent, PacketError, inverse, spliced

NEW = OLD.replace(b"/><", b' x:xmptk="\xe7\x8a\xac, a longer packet than before it was changed"/><')


def changed(content: bytes, xmp: bytes, *force: str) -> bytes:
    splices = packets.replaced(content, xmp, force)
    whole = b"".join(spliced(content, splices))
    assert b"".join(spliced(whole, inverse(content, splices))) == content
    return whole


def others(content: bytes) -> list[tuple[str, str]]:
    """Return kind and hash of what is no packet."""
    return [
        (segment.kind, hashlib.sha256(content[segment.start : segment.end]).hexdigest())
        for segment in packets.segments(content)
        if segment.kind != "xmp"
    ]


def pixels(content: bytes) -> list[bytes]:
    if content.startswith(b"MM\0+"):
        # Pillow does not know this kind
        return []
    with Image.open(io.BytesIO(content)) as image:
        frames = []
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            frames.append(image.tobytes())
        return frames


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("old", [None, OLD, OLD + b" " * 3000, OLD + b" "], ids=["none", "some", "roomy", "odd"])
def test_only_the_packet_changes(kind: str, old: bytes | None) -> None:
    before = EVERY[kind](old)
    assert packets.read(before).xmp == old
    after = changed(before, NEW)
    found = packets.read(after)
    assert found.xmp is not None
    assert found.xmp.replace(b" " * 99 + b"\n", b"").replace(b" ", b"") == NEW.replace(b" ", b"")
    assert found.iptc == packets.read(before).iptc == (None if kind == "webp" else IPTC)
    assert pixels(after) == pixels(before)
    if "tiff" in kind:
        # all that was there is there, where it was, but for the header or the entry that leads to the packet
        assert len(after) >= len(before)
        assert sum(one != other for one, other in zip(before, after, strict=False)) <= max(24, len(old or b""))
    else:
        assert [each for each in others(after) if each[0] not in ("start", "VP8X")] == [
            each for each in others(before) if each[0] not in ("start", "VP8X")
        ]
    # what fits takes the room that is there: nothing moves
    if old is not None and len(old) > len(NEW):
        assert len(after) == len(before)
    again = changed(after, NEW + b"!" * 5000)
    assert packets.read(again).xmp == NEW + b"!" * 5000
    assert pixels(again) == pixels(before)


@pytest.mark.parametrize("kind", EVERY)
def test_a_file_is_read_in_parts(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(EVERY[kind](OLD))
    assert packets.read_file(path) == packets.read(path.read_bytes())
    with path.open("rb", buffering=0) as stream:
        content = FileContent(stream)
        splices = packets.replaced(content, NEW)
        assert b"".join(spliced(content, splices)) == changed(path.read_bytes(), NEW)


def test_a_jpeg_is_read_up_to_its_image() -> None:
    class Noting(bytes):
        last = 0

        def __getitem__(self, part: slice) -> bytes:  # type: ignore[override]
            self.last = max(self.last, part.indices(len(self))[1])
            return bytes.__getitem__(self, part)

    content = Noting(jpeg(OLD) + b"\0" * 10**6)
    assert packets.read(content).xmp == OLD
    assert content.last <= content.index(b"\xff\xda") + 100


def test_a_jpegs_packet_comes_behind_exif_and_jfif() -> None:
    plain = with_segments(saved("JPEG"), segment(0xE1, b"Exif\0\0notes"), segment(0xFE, b"a comment"))
    kinds = [segment.kind for segment in packets.segments(changed(plain, NEW))]
    assert kinds[:4] == ["start", "jfif", "exif", "xmp"]


def extended(name: bytes, parts: list[bytes]) -> bytes:
    size, at, segments = sum(map(len, parts)), 0, b""
    for part in parts:
        head = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">II", size, at)
        segments = segment(0xE1, head + part) + segments
        at += len(part)
    return segments


def test_an_extension_of_a_packet_is_read_and_stays() -> None:
    name = b"0123456789ABCDEF0123456789ABCDEF"
    main = OLD.replace(b"/><", b' xmpNote:HasExtendedXMP="' + name + b'"/><')
    content = jpeg(main, extra=extended(b"F" * 32, [b"another"]) + extended(name, [b"first ", b"second"]))
    assert packets.read(content).extension == b"first second"
    after = changed(content, main.replace(b"/><", b' a="b"/><'))
    assert packets.read(after).extension == b"first second"
    assert others(after) == others(content)


def test_a_packet_that_no_segment_holds_is_refused() -> None:
    assert packets.read(changed(jpeg(), b"x" * 65504)).xmp == b"x" * 65504
    with pytest.raises(PacketError, match="64 KB"):
        packets.replaced(jpeg(), b"x" * 65505)
    assert packets.read(changed(png(), b"x" * 99_999)).xmp == b"x" * 99_999


@pytest.mark.parametrize("make", [jpeg, png, webp])
def test_data_after_the_image_keeps_its_place_unless_forced(make: object) -> None:
    for zeros in (b"\0", b"\0" * 5000):
        changed(make(None, after=zeros), NEW)  # type: ignore[operator]
    content = make(None, after=b"\0\0ftypmp42 a film")  # type: ignore[operator]
    with pytest.raises(PacketError, match="after the image") as caught:
        packets.replaced(content, NEW)
    assert caught.value.kind == "trailing"
    assert changed(content, NEW, "trailing").endswith(b"ftypmp42 a film")
    # where there is room, nothing moves
    content = make(OLD + b" " * 500, after=b"a film")  # type: ignore[operator]
    assert len(changed(content, NEW)) == len(content)


def test_a_list_of_pictures_keeps_its_places() -> None:
    listed = segment(0xE2, b"MPF\0II*\0\x08\0\0\0")
    content = jpeg(None, extra=listed, after=b"\xff\xd8\xff another picture")
    with pytest.raises(PacketError, match="several pictures"):
        packets.replaced(content, NEW)
    kinds = [segment.kind for segment in packets.segments(changed(content, NEW, "trailing"))]
    assert kinds.index("xmp") < kinds.index("pictures")
    behind = with_segments(saved("JPEG"), listed, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + OLD))
    with pytest.raises(PacketError, match="MPF"):
        packets.replaced(behind, NEW, ["trailing"])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def signed() -> dict[str, bytes]:
    manifest = b"\0\0\0\x20jumb\0\0\0\x18jumdc2pa"
    image = png()
    at = image.index(b"IDAT") - 4
    whole = webp()
    return {
        "jpeg": jpeg(extra=segment(0xEB, b"JP\0\1\0\0\0\1" + manifest)),
        "png": image[:at] + chunk(b"caBX", manifest) + image[at:],
        "webp": b"RIFF" + struct.pack("<I", len(whole) + 4) + whole[8:] + b"C2PA\x04\0\0\0c2pa",
        "tiff": tiff(more={52545: manifest}),
        "elsewhere": jpeg(OLD.replace(b"/><", b' dcterms:provenance="https://example.org/a"/><')),
    }


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "elsewhere"])
def test_a_signed_file_is_refused_unless_forced(kind: str) -> None:
    content = signed()[kind]
    with pytest.raises(PacketError, match="signed") as caught:
        packets.replaced(content, NEW)
    assert caught.value.kind == "signed"
    assert pixels(changed(content, NEW, "signed")) == pixels(content)


@pytest.mark.parametrize(("mode", "options"), [("RGB", {}), ("RGB", {"lossless": True}), ("RGBA", {"lossless": True})])
def test_a_plain_webp_becomes_an_extended_one(mode: str, options: dict[str, bool]) -> None:
    content = saved("WEBP", mode, **options)
    after = changed(content, NEW)
    assert packets.segments(after)[1].kind == "VP8X"
    with Image.open(io.BytesIO(after)) as image, Image.open(io.BytesIO(content)) as before:
        assert (image.size, image.mode, image.info["xmp"]) == (before.size, before.mode, NEW)
        assert image.tobytes() == before.tobytes()


def test_an_animation_keeps_its_frames() -> None:
    for kind in ("WEBP", "PNG"):
        stream = io.BytesIO()
        first = picture()
        first.save(stream, kind, save_all=True, append_images=[first.rotate(90), first.rotate(180)])
        assert pixels(changed(stream.getvalue(), NEW)) == pixels(stream.getvalue())
        assert len(pixels(stream.getvalue())) == 3


def test_a_compressed_packet_of_a_png_is_read_and_replaced() -> None:
    data = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(OLD)
    image = png()
    at = image.index(b"IDAT") - 4
    content = image[:at] + chunk(b"iTXt", data) + image[at:]
    assert packets.read(content).xmp == OLD
    assert packets.read(changed(content, NEW)).xmp == NEW


def test_two_packets_are_refused() -> None:
    twice = jpeg(OLD, extra=segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + OLD))
    with pytest.raises(PacketError, match="2 XMP packets"):
        packets.replaced(twice, NEW)


@pytest.mark.parametrize("kind", EVERY)
def test_a_damaged_file_is_said_and_never_changed(kind: str) -> None:
    content = EVERY[kind](OLD)
    for end in range(12, len(content), 7):
        try:
            notes = packets.read(content[:end])
            splices = packets.replaced(content[:end], NEW)
        except PacketError:
            continue
        # what can be changed can be changed back
        assert notes.xmp in (None, OLD)
        whole = b"".join(spliced(content[:end], splices))
        assert b"".join(spliced(whole, inverse(content[:end], splices))) == content[:end]


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"II*\0\0\0\0\0", b"MM\0+"])
def test_what_is_no_picture_is_said(content: bytes) -> None:
    with pytest.raises(PacketError):
        packets.replaced(content, NEW)
