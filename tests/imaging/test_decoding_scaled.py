"""Large pictures are decoded at reduced scale, small ones exactly as ever."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from models.pictures import decode, encoded, files, plain, png, press_profile, scene, turned
from PIL import Image, JpegImagePlugin
from safetensors.torch import load_file
from torchvision.models import mobilenet_v2

from aaam_pipeline.imaging.profiles import conversion
from aaam_pipeline.imaging.resizing import OVERSAMPLING, resize_square
from aaam_pipeline.models.preprocess import Preprocess

S = 32
LEAST = 2 * OVERSAMPLING * S


def icc_profile(content: bytes) -> bytes:
    return Image.open(io.BytesIO(content)).info.get("icc_profile", b"")


def difference(content: bytes, size: int = S) -> np.ndarray:
    return abs(decode(content, size).astype(int) - plain(content, size))


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_picture_below_the_least_size_is_decoded_bit_for_bit_as_ever(kind: str, orientation: int) -> None:
    for width, height in ((40, 30), (LEAST, LEAST - 1), (3000, LEAST - 1), (20, 600)):
        content = encoded(scene(width, height), kind, exif=turned(orientation))
        assert difference(content).max() == 0


def test_the_pictures_of_the_default_data_sets_are_decoded_bit_for_bit_as_ever(shared: Path) -> None:
    for folder, size, count in (("coco128/train2017", 224, 24), ("corel5k/images", 160, 50)):
        paths = sorted((shared / "data" / folder).rglob("*.jp*g"))[:count]
        assert len(paths) == count
        contents = [path.read_bytes() for path in paths]
        # a profile that is not sRGB's is applied: see test_colour.py
        same = [content for content in contents if not conversion(icc_profile(content), "RGB")]
        assert len(same) > count // 2
        assert all(difference(content, size).max() == 0 for content in same)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", [(LEAST, LEAST), (813, 611), (601, 1799)])
def test_a_large_picture_is_nearly_that_of_the_full_decode(kind: str, size: tuple[int, int], orientation: int) -> None:
    # odd sides: the last pixel of the reduced picture is the mean of a part of a block
    content = encoded(scene(*size), kind, exif=turned(orientation))
    decoded = resize_square(content, S)
    assert (decoded.width, decoded.height) == (size if orientation < 5 else size[::-1])
    assert difference(content).mean() < 1
    assert difference(content).max() <= 8


def test_the_edges_of_a_reduced_picture_are_where_they_were() -> None:
    # 8 x 96 + 7 pixels: taking the rounded size for the true one would move what is at the end
    image = Image.new("RGB", (8 * OVERSAMPLING * S + 7, 8 * OVERSAMPLING * S + 7))
    for place in range(0, 800, 50):
        image.paste((255, 255, 255), (0, place, 800, place + 25))
    for kind in ("JPEG", "PNG"):
        assert difference(encoded(image, kind)).max() <= 12


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_large_jpeg(mode: str, subsampling: int, progressive: bool) -> None:
    image = scene(811, 613).convert(mode)
    content = encoded(image, "JPEG", quality=90, subsampling=subsampling, progressive=progressive)
    assert difference(content).mean() < 1.5


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK"])
def test_every_mode_of_a_large_picture(mode: str) -> None:
    image = scene(811, 613)
    if mode in ("LA", "RGBA"):
        # transparent pixels have colours too, which must not shine through
        image.putalpha(scene(811, 613).convert("L").point(lambda value: 255 if value > 128 else 0))
    content = encoded(image.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    shown = image.convert(mode).convert("RGBA") if mode in ("LA", "RGBA") else image.convert(mode).convert("RGB")
    if mode in ("LA", "RGBA"):
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    full = np.asarray(shown.resize((S, S), Image.Resampling.BILINEAR))
    assert abs(decode(content, S).astype(int) - full).mean() < 1


def test_deep_grey_that_is_large_keeps_its_depth() -> None:
    ramp = np.tile(np.linspace(0, 65535, 700, dtype=np.uint16), (700, 1))
    pixels = decode(png(ramp[..., None], 0), S).astype(int)[0, :, 0]
    assert (np.diff(pixels) > 0).all()


def test_a_large_picture_of_a_press_is_converted_by_its_profile() -> None:
    profile = press_profile(paper=(255, 128, 128), inks={0b1000: (224, 42, 211)})
    content = encoded(Image.new("CMYK", (900, 700), (255, 0, 0, 0)), "JPEG", icc_profile=profile)
    assert abs(decode(content, S).astype(int) - (0, 255, 0)).max() < 12


def test_what_the_decoder_is_asked_for_is_never_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    scales = []
    draft = JpegImagePlugin.JpegImageFile.draft

    def spy(image: JpegImagePlugin.JpegImageFile, mode: str | None, size: tuple[int, int]) -> object:
        result = draft(image, mode, size)
        scales.append(min(image.size) / S)
        return result

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", spy)
    for side in (LEAST - 1, LEAST, LEAST + 1, 2 * LEAST - 1, 2 * LEAST, 4 * LEAST, 8 * LEAST):
        decode(encoded(Image.new("L", (side, side + 5)), "JPEG"), S)
    assert len(scales) == 6
    assert min(scales) >= OVERSAMPLING


def enlarged(content: bytes, seed: int) -> bytes:
    """Make a photograph of 640 px one of 12 megapixels, with the noise of a camera: no smoother than a real one."""
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((4000, 3000), Image.Resampling.LANCZOS)
    noise = np.random.default_rng(seed).normal(0, 6, (3000, 4000, 1)).astype(np.int16)
    return encoded(Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)), "JPEG", quality=90)


@pytest.mark.slow
def test_photographs_of_12_megapixels_keep_their_scores_and_are_decoded_faster(shared: Path) -> None:
    network = mobilenet_v2().eval()
    network.load_state_dict(load_file(shared / "weights" / "mobilenet_v2_imagenet.safetensors"))
    photos = [enlarged(content, seed) for seed, content in enumerate(files(shared / "data/coco128/train2017")[:48:4])]
    preprocess = Preprocess(size=224)
    started = time.process_time()
    reduced = [decode(content, 224) for content in photos]
    between = time.process_time()
    full = [plain(content, 224) for content in photos]
    speed_up = (time.process_time() - between) / (between - started)
    with torch.no_grad():
        ours, theirs = (
            network(preprocess.normalise(torch.tensor(np.stack(each)))).softmax(1) for each in (reduced, full)
        )
    best = theirs.argmax(1, keepdim=True)
    assert (ours - theirs).abs().mean() < 0.0005
    assert (ours.gather(1, best) - theirs.gather(1, best)).abs().mean() < 0.01
    assert speed_up > 2
