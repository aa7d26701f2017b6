"""Small pictures for people keep the shape of the original and are scaled once."""

import io

import numpy as np
import pytest
from models.pictures import encoded, scene, turned
from PIL import Image, ImageOps

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.resizing import thumbnail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("size", [(1601, 900), (900, 1601), (120, 90), (70, 2000)])
def test_a_thumbnail_is_the_original_scaled_once(kind: str, orientation: int, size: tuple[int, int]) -> None:
    content = encoded(scene(*size), kind, exif=turned(orientation), quality=95)
    found = thumbnail(content, 100)
    width, height = size if orientation < 5 else size[::-1]
    assert found.mode == "RGB"
    assert max(found.size) == 100
    assert found.width / found.height == pytest.approx(width / height, rel=0.15)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    expected = shown.resize(found.size, Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).mean() < 1.5


def test_small_pictures_are_enlarged_only_if_asked() -> None:
    content = encoded(scene(40, 30))
    assert thumbnail(content, 320).size == (40, 30)
    assert thumbnail(content, 320, enlarge=True).size == (320, 240)


def test_no_picture_is_an_image_error() -> None:
    with pytest.raises(ImageError, match="no known image format"):
        thumbnail(b"text", 320)
