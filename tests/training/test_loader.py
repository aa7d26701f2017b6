from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aaam_pipeline.datasets.prepare import Split
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.loader import Augment, shuffled, vary

PREPROCESS, CPU = Preprocess(size=16), torch.device("cpu")
NO_CHANGE = Augment(flip=0, zoom=0, light=0)


def split(images: int) -> Split:
    pixels = np.random.default_rng(2).integers(0, 256, (images, 16, 16, 3), dtype=np.uint8)
    # the targets spell the image's number in binary, so that a batch says whom it holds
    targets = (np.arange(images)[:, None] >> np.arange(6) & 1).astype(np.uint8)
    return Split([str(n) for n in range(images)], [Path(str(n)) for n in range(images)], pixels, targets)


def epoch(images: int, augment: Augment = NO_CHANGE, seed: int = 1, size: int = 4) -> list[tuple[list[int], Tensor]]:
    batches = shuffled(split(images), PREPROCESS, augment, size, seed, CPU)
    return [((targets @ (2.0 ** torch.arange(6))).int().tolist(), pictures) for pictures, targets in batches]


@pytest.mark.parametrize("images", [4, 8, 10, 11])
def test_an_epoch_holds_every_image_once(images: int) -> None:
    assert sorted(n for numbers, _ in epoch(images) for n in numbers) == list(range(images))


def test_a_single_left_over_image_is_left_out() -> None:
    assert [len(numbers) for numbers, _ in epoch(9)] == [4, 4]


def test_images_and_targets_belong_together_and_without_augmentation_are_just_normalised() -> None:
    pixels = torch.from_numpy(split(10).pixels_NSS3)
    for numbers, pictures in epoch(10):
        torch.testing.assert_close(pictures, PREPROCESS.normalise(pixels[numbers]), atol=1e-4, rtol=1e-4)
        assert pictures.is_contiguous(memory_format=torch.channels_last)


def test_the_same_seed_gives_the_same_batches() -> None:
    for (one, pictures), (other, again) in zip(epoch(11, Augment()), epoch(11, Augment()), strict=True):
        assert one == other
        assert torch.equal(pictures, again)


def test_another_seed_gives_another_order_and_other_changes() -> None:
    assert [numbers for numbers, _ in epoch(12, seed=1)] != [numbers for numbers, _ in epoch(12, seed=2)]
    (_, one), *_ = epoch(4, Augment(), seed=1)
    (_, other), *_ = epoch(4, Augment(), seed=2)
    assert not torch.allclose(one, other)


def pictures(count: int = 64) -> Tensor:
    return torch.randn((count, 3, 16, 16), generator=torch.Generator().manual_seed(0))


def varied(augment: Augment, images: Tensor) -> Tensor:
    return vary(images, augment, torch.Generator().manual_seed(3))


def test_flip_1_mirrors_every_picture_left_to_right() -> None:
    mirrored = varied(Augment(flip=1, zoom=0, light=0), pictures())
    torch.testing.assert_close(mirrored, pictures().flip(3), atol=1e-4, rtol=1e-4)


def test_flip_one_half_mirrors_about_half() -> None:
    images = pictures(200)
    out = varied(Augment(flip=0.5, zoom=0, light=0), images)
    kept = (out - images).abs().amax(dim=(1, 2, 3)) < 1e-3
    mirrored = (out - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert torch.equal(kept, ~mirrored)
    assert 70 < int(mirrored.sum()) < 130


def test_zoom_shows_a_window_that_lies_inside_the_picture() -> None:
    # on a ramp from -1 to 1 the values tell where the window lies
    ramp = torch.linspace(-15 / 16, 15 / 16, 16).expand(200, 3, 16, 16).contiguous()
    out = varied(Augment(flip=0, zoom=0.5, light=0), ramp)
    left, right = out[:, 0, 8, 0], out[:, 0, 8, -1]
    width = (right - left) / (ramp[0, 0, 0, -1] - ramp[0, 0, 0, 0])
    assert float(left.min()) >= -1
    assert float(right.max()) <= 1
    assert 0.49 < float(width.min()) < 0.6
    assert 0.9 < float(width.max()) <= 1.001
    assert float(((left + right) / 2).std()) > 0.05, "windows lie anywhere, not in the middle"


def test_light_changes_contrast_and_brightness_within_its_share() -> None:
    # two grey levels, so that out = contrast * level + brightness can be solved for both
    images = torch.zeros(200, 3, 16, 16)
    images[..., 8:] = 1
    out = varied(Augment(flip=0, zoom=0, light=0.2), images)
    brightness, contrast = out[:, 0, 0, 0], out[:, 0, 0, -1] - out[:, 0, 0, 0]
    for value, middle in ((brightness, 0.0), (contrast, 1.0)):
        assert float((value - middle).abs().max()) <= 0.2001
        assert float(value.min()) < middle - 0.15
        assert float(value.max()) > middle + 0.15
    assert float(torch.corrcoef(torch.stack([brightness, contrast]))[0, 1].abs()) < 0.3
