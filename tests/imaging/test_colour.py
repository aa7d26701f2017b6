"""Pictures of other colour spaces are seen as their sRGB twins, in whatever way their format says which it is."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from imaging.heic_files import heic
from models.pictures import decode, encoded, files, noted, photo, plain, png_chunk, scene, turned
from PIL import Image, ImageCms
from PIL.ExifTags import Base
from safetensors.torch import load_file
from torchvision.models import mobilenet_v2

from aaam_pipeline.imaging import profiles
from aaam_pipeline.imaging.resizing import resize_square, thumbnail
from aaam_pipeline.models.preprocess import Preprocess

# the colours of red, green and blue as published profiles have them: XYZ under a white of D50
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
P3_POINTS = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(colours: tuple[tuple[float, ...], ...], gamma: float | None = None, version: int = 4) -> bytes:
    """An ICC profile of a matrix and a curve: a power, or that of sRGB. Without colours it is one of grey."""
    if gamma is None:
        curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(*SRGB_CURVE)
    else:
        curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249)}
    for name, colour in zip("rgb", colours, strict=False):
        tags |= {f"{name}XYZ".encode(): b"XYZ " + bytes(4) + fixed(*colour), f"{name}TRC".encode(): curve}
    if not colours:
        tags[b"kTRC"] = curve
    start = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(content))
        body += content
    space = b"RGB " if colours else b"GRAY"
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), version << 24, b"mntr", space, b"XYZ ")
    return (head + bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)).ljust(128, b"\0") + table + body


def to_light(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_light(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light.clip(0) ** (1 / 2.4) - 0.055)


def twin(image: Image.Image, colours: tuple[tuple[float, ...], ...], gamma: float | None = None) -> Image.Image:
    """The same picture in the numbers of another colour space."""
    light = to_light(np.asarray(image) / 255)
    if colours:
        light = light @ np.array(SRGB) @ np.linalg.inv(np.array(colours))
    values = light.clip(0, 1) ** (1 / gamma) if gamma else from_light(light)
    return Image.fromarray((values * 255).round().clip(0, 255).astype(np.uint8))


def colourful(width: int = 60, height: int = 40) -> Image.Image:
    return photo(5, 4, seed=8).resize((width, height), Image.Resampling.BICUBIC)


def difference(content: bytes, image: Image.Image, size: int = 16) -> float:
    expected = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
    return float(abs(decode(content, size).astype(int) - expected).mean())


SPACES = {
    "Display P3, version 4": (P3, None, 4),
    "Display P3, version 2": (P3, 2.2, 2),
    "Adobe RGB": (ADOBE, 563 / 256, 2),
    "linear": (SRGB, 1.0, 4),
}
WRITERS = {
    "JPEG": {"quality": 97, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("scale", [1, 10])
def test_an_embedded_profile_is_applied(space: str, kind: str, scale: int) -> None:
    colours, gamma, version = SPACES[space]
    image = colourful(60 * scale, 40 * scale)
    other = twin(image, colours, gamma)
    within = 3.5 if space == "linear" else 2
    content = encoded(other, kind, icc_profile=profile(colours, gamma, version), **WRITERS[kind])
    assert difference(content, image) < within
    # the test is able to fail
    assert difference(encoded(other, kind, **WRITERS[kind]), image) > 2 * within


@pytest.mark.parametrize("space", SPACES)
def test_the_profile_of_heic_is_applied(space: str) -> None:
    within = 3.5 if space == "linear" else 2
    content = heic(space)
    assert difference(content, colourful()) < within
    assert difference(content.replace(b"colrprof", b"freeprof"), colourful()) > 2 * within


@pytest.mark.parametrize("orientation", [1, 6])
def test_thumbnails_have_the_colours_too(orientation: int) -> None:
    image = colourful(400, 300)
    content = encoded(twin(image, P3), "JPEG", quality=97, icc_profile=profile(P3), exif=turned(orientation))
    plain_twin = encoded(image, "JPEG", quality=97, exif=turned(orientation))
    shown, expected = (np.asarray(thumbnail(each, 64)).astype(int) for each in (content, plain_twin))
    assert abs(shown - expected).mean() < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("scale", [1, 10])
def test_a_grey_profile_is_applied(kind: str, scale: int) -> None:
    image = colourful(60 * scale, 40 * scale).convert("L")
    content = encoded(twin(image, (), 1.0), kind, icc_profile=profile((), 1.0))
    assert difference(content, image) < 3.5
    assert difference(encoded(twin(image, (), 1.0), kind), image) > 20


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "1", "LA"])
def test_every_mode_has_its_colours(mode: str) -> None:
    image = colourful().convert(mode)
    marked = encoded(image, "PNG", icc_profile=profile(SRGB, 1.0))
    shown = np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)) / 255
    expected = (from_light(shown) * 255).round()
    assert abs(decode(marked).astype(int) - expected).max() <= 2


def test_transparency_stays_white_and_deep_grey_has_its_profile() -> None:
    assert decode(encoded(Image.new("RGBA", (20, 20)), icc_profile=profile(SRGB, 1.0))).min() == 255
    deep = Image.fromarray(np.full((20, 20), 65535 // 2, np.uint16))
    assert abs(decode(encoded(deep, icc_profile=profile((), 1.0))).astype(int) - 187).max() <= 2


def created(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


@pytest.mark.parametrize("content", [created("sRGB"), profile(SRGB), profile(SRGB, version=2), profiles.matrix_profile(
    profiles.BT709, profiles.CURVES[13])])  # fmt: skip
def test_a_profile_of_srgb_changes_no_pixel(content: bytes) -> None:
    image = photo(64, 48)
    assert (decode(encoded(image, icc_profile=content)) == decode(encoded(image))).all()
    assert profiles.conversion(content, "RGB") is None


def absurd() -> list[bytes]:
    good = profile(P3)
    press = bytearray(good)
    press[16:20] = b"CMYK"
    black = profile(((0.0,) * 3,) * 3)
    inverted = good.replace(b"para", b"curv").replace(struct.pack(">HH", 3, 0), struct.pack(">HH", 0, 2))
    wrong = [b"", b"no profile", bytes(200), good[:200], good[:-30], bytes(press), black, inverted, created("LAB")]
    rng = np.random.default_rng(4)
    for _ in range(60):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), 8):
            damaged[place] = rng.integers(256)
        wrong.append(bytes(damaged))
    return wrong


def test_a_damaged_or_absurd_profile_never_fails_a_picture_nor_hides_it() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(256, 0)).convert("RGB")
    for content in absurd():
        seen = decode(encoded(ramp, icc_profile=content)).astype(int).sum(2)[0]
        assert (np.diff(seen) >= -6).all()
        assert seen[0] < 250
        assert seen[-1] > 500


def png_with(image: Image.Image, *chunks: bytes) -> bytes:
    content = encoded(image)
    return content[:33] + b"".join(chunks) + content[33:]


GAMMA_1 = png_chunk(b"gAMA", struct.pack(">I", 100_000))
GAMMA_22 = png_chunk(b"gAMA", struct.pack(">I", 45_455))
P3_CHROMATICITY = png_chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in P3_POINTS)))
P3_CICP, SRGB_CICP = png_chunk(b"cICP", b"\x0c\x0d\0\1"), png_chunk(b"cICP", b"\1\x0d\0\1")
SRGB_CHUNK = png_chunk(b"sRGB", b"\0")
P3_ICC = png_chunk(b"iCCP", b"P3\0\0" + zlib.compress(profile(P3)))


@pytest.mark.parametrize(
    ("chunks", "space"),
    [
        ([P3_CICP], (P3, None)),
        ([P3_CICP, SRGB_CHUNK, GAMMA_1], (P3, None)),
        ([SRGB_CICP, P3_ICC], (SRGB, None)),
        ([P3_ICC, GAMMA_1], (P3, None)),
        ([SRGB_CHUNK, GAMMA_1, P3_CHROMATICITY], (SRGB, None)),
        ([GAMMA_22, P3_CHROMATICITY], (P3, None)),
        ([P3_CHROMATICITY], (P3, None)),
        ([GAMMA_22], (SRGB, None)),
        ([GAMMA_1], (SRGB, 1.0)),
        ([png_chunk(b"gAMA", bytes(4))], (SRGB, None)),
        ([png_chunk(b"cHRM", bytes(32))], (SRGB, None)),
        ([GAMMA_22, png_chunk(b"cHRM", struct.pack(">8I", *[30_000] * 8))], (SRGB, None)),
        ([png_chunk(b"cICP", b"\xff\xff\0\1")], (SRGB, None)),
        ([png_chunk(b"cICP", b"\x0c")], (SRGB, None)),
    ],
)  # fmt: skip
def test_the_colour_chunks_of_png(
    chunks: list[bytes], space: tuple[tuple[tuple[float, ...], ...], float | None]
) -> None:
    image = colourful()
    assert difference(png_with(twin(image, *space), *chunks), image) < 3.5


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_the_code_points_of_avif_and_heic(kind: str) -> None:
    image = colourful()
    made = heic("code points") if kind == "HEIF" else encoded(twin(image, P3), kind, **WRITERS[kind])
    content = bytearray(made)
    place = content.index(b"colrnclx") + 8
    content[place : place + 4] = struct.pack(">HH", 12, 13)
    assert difference(bytes(content), image) < 3.5


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58069), (18, 0.75)])
def test_white_of_high_dynamic_range_is_white(transfer: int, white: float) -> None:
    content = profiles.by_code_points(9, transfer)
    level = round(white * 255)
    found = decode(encoded(Image.new("RGB", (20, 20), (level,) * 3), icc_profile=content))
    assert found.min() >= 250
    assert 20 < decode(encoded(Image.new("RGB", (20, 20), (level // 2,) * 3), icc_profile=content)).mean() < 140


@pytest.mark.parametrize("colour_space", [0xFFFF, None, 1])
def test_adobe_rgb_that_only_exif_names(colour_space: int | None) -> None:
    exif = Image.Exif()
    inside = {0xA005: {1: "R03"}} | ({} if colour_space is None else {int(Base.ColorSpace): colour_space})
    exif.get_ifd(0x8769).update(inside)
    image = colourful(400, 300)
    content = encoded(twin(image, ADOBE, 563 / 256), "JPEG", quality=97, subsampling=0, exif=exif.tobytes())
    assert (difference(content, image) < 2) == (colour_space != 1)


def test_other_exif_names_no_colours() -> None:
    content = encoded(scene(40, 30), "JPEG", exif=noted({int(Base.ColorSpace): 0xFFFF, 0x927C: b"R03\0R03"}))
    assert (decode(content) == plain(content, 16)).all()


def test_the_profile_of_jpeg_2000() -> None:
    image = colourful()
    content = encoded(twin(image, P3), "JPEG2000", irreversible=False)
    icc = profile(P3)
    place = content.index(b"colr") - 4
    old = int.from_bytes(content[place : place + 4], "big")
    box = struct.pack(">I4sBBB", 11 + len(icc), b"colr", 2, 0, 0) + icc
    head = content.index(b"jp2h") - 4
    longer = int.from_bytes(content[head : head + 4], "big") + len(box) - old
    changed = content[:head] + struct.pack(">I", longer) + content[head + 4 : place] + box + content[place + old :]
    assert difference(changed, image) < 3.5


@pytest.mark.slow
@pytest.mark.parametrize("space", ["Display P3, version 4", "Adobe RGB"])
def test_scores_are_those_of_the_srgb_twin(space: str, shared: Path) -> None:
    network = mobilenet_v2().eval()
    network.load_state_dict(load_file(shared / "weights" / "mobilenet_v2_imagenet.safetensors"))
    opened = [Image.open(io.BytesIO(each)) for each in files(shared / "data/coco128/train2017")[:12]]
    # as arrays: some have a profile of their own
    photos = [Image.fromarray(np.asarray(image.convert("RGB"))) for image in opened]
    colours, gamma, version = SPACES[space]
    icc = profile(colours, gamma, version)
    preprocess = Preprocess(size=224)

    def scores(contents: list[bytes]) -> torch.Tensor:
        pixels = np.stack([resize_square(content, 224).pixels_SS3 for content in contents])
        return network(preprocess.normalise(torch.tensor(pixels))).softmax(1)

    with torch.no_grad():
        plain_ones = scores([encoded(image, compress_level=1) for image in photos])
        others = [twin(image, colours, gamma) for image in photos]
        marked = scores([encoded(image, compress_level=1, icc_profile=icc) for image in others])
        unmarked = scores([encoded(image, compress_level=1) for image in others])
    best = plain_ones.argmax(1, keepdim=True)
    right, wrong = ((each - plain_ones).abs().gather(1, best) for each in (marked, unmarked))
    # this network is nervous: a noise of one level changes its best scores by 0.015 on average
    assert right.quantile(0.9) < 0.02
    assert wrong.mean() > 0.02 > 3 * right.mean()
