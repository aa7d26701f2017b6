from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training import loaders
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.loaders import (
    Augment,
    DeviceLoader,
    HostLoader,
    Loader,
    PrefetchLoader,
    augment,
    augmented_batches,
)

CPU = torch.device("cpu")
CONTEXT = DistributedContext("cpu")
PREPROCESS = Preprocess(size=16)
NO_CHANGE = Augment(flip=0, zoom=0, light=0)


def split(images: int) -> Split:
    pixels = np.random.default_rng(2).integers(0, 256, (images, 16, 16, 3), dtype=np.uint8)
    # the targets spell the image's number in binary, so that a batch says which it holds
    targets = (np.arange(images)[:, None] >> np.arange(6) & 1).astype(np.uint8)
    return Split([str(n) for n in range(images)], [Path(str(n)) for n in range(images)], pixels, targets)


def epoch(images: int, params: Augment = NO_CHANGE, seed: int = 1, size: int = 4) -> list[tuple[list[int], Tensor]]:
    batches = augmented_batches(HostLoader(split(images)), images, PREPROCESS, params, size, seed, CONTEXT)
    return [((targets @ (2.0 ** torch.arange(6))).int().tolist(), pictures) for pictures, targets, _ in batches]


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


def test_batches_that_are_done_are_skipped() -> None:
    batches = augmented_batches(HostLoader(split(11)), 11, PREPROCESS, Augment(), 4, 1, CONTEXT, skip=1)
    (_, first), *rest = [(targets, pictures) for pictures, targets, _ in batches]
    expected = epoch(11, Augment())
    assert len(rest) == 1
    assert torch.equal(first, expected[1][1])


@pytest.mark.parametrize("make", [lambda split: DeviceLoader(split, CPU), lambda split: PrefetchLoader(split, CPU)])
def test_every_loader_gives_what_the_plain_one_gives(make: Callable[[Split], Loader]) -> None:
    pictures = split(50)
    asked = [np.array(rows) for rows in ([3, 4, 9], [0], [49, 1], [7] * 5, [10, 11], [20, 30])]
    for given, expected in zip(make(pictures)(asked), HostLoader(pictures)(asked), strict=True):
        assert torch.equal(given[0], expected[0])
        assert torch.equal(given[1], expected[1])
        assert given[1].dtype == torch.float32


def test_prefetching_stays_a_few_batches_ahead_and_ends_with_the_iteration() -> None:
    asked: list[int] = []

    def rows() -> Iterator[loaders.Rows]:
        for number in range(40):
            asked.append(number)
            yield np.array([number])

    pairs = PrefetchLoader(split(50), CPU)(rows())
    next(pairs)
    assert len(asked) == loaders.PREFETCH + 1
    pairs.close()  # type: ignore[attr-defined]
    assert len(asked) == loaders.PREFETCH + 1


def test_an_error_while_prefetching_reaches_the_trainer() -> None:
    with pytest.raises(IndexError):
        list(PrefetchLoader(split(5), CPU)([np.array([1]), np.array([77])]))


def pictures(count: int = 64) -> Tensor:
    return torch.randn((count, 3, 16, 16), generator=torch.Generator().manual_seed(0))


def augmented(params: Augment, images: Tensor) -> Tensor:
    return augment(images, params, params.draw(len(images), torch.Generator().manual_seed(3)))


def test_flip_1_mirrors_every_picture_left_to_right() -> None:
    mirrored = augmented(Augment(flip=1, zoom=0, light=0), pictures())
    torch.testing.assert_close(mirrored, pictures().flip(3), atol=1e-4, rtol=1e-4)


def test_flip_one_half_mirrors_about_half() -> None:
    images = pictures(200)
    out = augmented(Augment(flip=0.5, zoom=0, light=0), images)
    kept = (out - images).abs().amax(dim=(1, 2, 3)) < 1e-3
    mirrored = (out - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert torch.equal(kept, ~mirrored)
    assert 70 < int(mirrored.sum()) < 130


def test_zoom_shows_a_window_that_lies_inside_the_picture() -> None:
    # on a ramp from -1 to 1 the values show where the window lies
    ramp = torch.linspace(-15 / 16, 15 / 16, 16).expand(200, 3, 16, 16).contiguous()
    out = augmented(Augment(flip=0, zoom=0.5, light=0), ramp)
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
    out = augmented(Augment(flip=0, zoom=0, light=0.2), images)
    brightness, contrast = out[:, 0, 0, 0], out[:, 0, 0, -1] - out[:, 0, 0, 0]
    for value, middle in ((brightness, 0.0), (contrast, 1.0)):
        assert float((value - middle).abs().max()) <= 0.2001
        assert float(value.min()) < middle - 0.15
        assert float(value.max()) > middle + 0.15
    assert float(torch.corrcoef(torch.stack([brightness, contrast]))[0, 1].abs()) < 0.3


def test_aspect_makes_windows_wider_or_higher_and_keeps_them_inside() -> None:
    ramp = torch.linspace(-15 / 16, 15 / 16, 16)
    across = ramp.expand(400, 1, 16, 16)
    images = torch.cat([across, across.mT, across], 1).contiguous()
    out = augmented(Augment(flip=0, zoom=0.5, light=0, aspect=0.5), images)
    step = ramp[1] - ramp[0]
    width = (out[:, 0, 8, -1] - out[:, 0, 8, 0]) / step / 15
    height = (out[:, 1, -1, 8] - out[:, 1, 0, 8]) / step / 15
    assert float(out.abs().max()) <= 1
    assert max(float(width.max()), float(height.max())) <= 1.001
    ratio = width / height
    assert 1.4 < float(ratio.max()) < 1.501
    assert 1 / 1.501 < float(ratio.min()) < 1 / 1.4


def test_shrink_takes_detail_and_leaves_what_is_large() -> None:
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    halves = torch.ones(32, 32)
    halves[:, :16] = -1
    images = torch.stack([checks, halves, halves])[None].repeat(200, 1, 1, 1)
    before = images.clone()
    out = augmented(Augment(flip=0, zoom=0, light=0, shrink=0.5), images)
    detail = out[:, 0].std((1, 2))
    assert torch.equal(images, before), "the pictures that the loader holds are not changed"
    assert float(detail.max()) > 0.99, "some keep all pixels"
    assert float(detail.min()) < 0.1, "some lose half of them"
    assert float((out[:, 1] - images[:, 1])[:, :, [4, 28]].abs().max()) < 0.01


def test_other_settings_of_augmentation_leave_the_random_numbers_of_the_first_six_as_they_are() -> None:
    plain, more = (
        params.draw(5, torch.Generator().manual_seed(1)) for params in (Augment(), Augment(aspect=0.2, shrink=0.5))
    )
    assert plain.shape == (5, 6)
    assert torch.equal(more[:, :6], plain)
