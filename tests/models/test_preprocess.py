import subprocess
import sys

import numpy as np
import pytest
import torch
from models.pictures import decode, encoded, photo
from PIL import Image
from torchvision.transforms import v2

from aaam_pipeline.imaging.resizing import resize_square
from aaam_pipeline.models.preprocess import Preprocess


def test_the_result_is_a_square_of_bytes_and_the_size_as_shown() -> None:
    decoded = resize_square(encoded(photo(40, 30)), 24)
    assert decoded.pixels_SS3.shape == (24, 24, 3)
    assert decoded.pixels_SS3.dtype == np.uint8
    assert (decoded.width, decoded.height) == (40, 30)


def test_a_picture_of_the_right_size_is_unchanged() -> None:
    np.testing.assert_array_equal(decode(encoded(photo(16, 16))), np.asarray(photo(16, 16)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_shrinking_averages_over_the_whole_picture(kind: str) -> None:
    # without antialiasing the fine stripes would become moire or one flat colour
    stripes = np.zeros((320, 320, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = decode(encoded(Image.fromarray(stripes), kind))
    assert abs(pixels.astype(int) - 128).max() <= 4


@pytest.mark.parametrize("scale", [1, 10])
def test_nothing_at_the_borders_is_lost(scale: int) -> None:
    wide = np.zeros((20 * scale, 200 * scale, 3), dtype=np.uint8)
    wide[:, : 20 * scale] = wide[:, -20 * scale :] = 255
    pixels = decode(encoded(Image.fromarray(wide)))
    assert pixels[:, 0].min() > 200
    assert pixels[:, -1].min() > 200
    assert pixels[:, 8].max() < 50


def test_bicubic_is_pillow_s_and_bilinear_is_what_is_left_out() -> None:
    image = photo(60, 45)
    for name, resampling in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        expected = np.asarray(image.resize((24, 24), resampling))
        found = resize_square(encoded(image), 24, interpolation=name).pixels_SS3  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, resize_square(encoded(image), 24).pixels_SS3)


def test_normalising_is_torchvision_s() -> None:
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    preprocess = Preprocess(size=16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    theirs = v2.Normalize(preprocess.mean, preprocess.std)(
        v2.functional.to_dtype(pixels.permute(0, 3, 1, 2), scale=True)
    )
    ours = preprocess.normalise(pixels)
    torch.testing.assert_close(ours, theirs)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_a_decoding_process_need_not_wait_for_torch() -> None:
    code = "import sys; import aaam_pipeline.models.preprocess; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
