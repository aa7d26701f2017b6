from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aaam_pipeline.figures.activation_maps import activation_maps
from aaam_pipeline.models import Network, bundle, create


def network(pool: nn.Module, neck: nn.Module, attention: str = "dense") -> Network:
    """Make a small network with a head of its own, of pictures of 32 px: a map of 160 channels, 2 x 2."""
    torch.manual_seed(3)
    made = create("vgg_small", attention, num_labels=4, size=32)
    made.pool, made.neck = pool, neck
    made.classifier = nn.Linear(160 if isinstance(neck, nn.Flatten) else 640, 4)
    if attention != "none":
        # the filters start at zero: without this the layer would do nothing
        nn.init.normal_(made.attention.filters.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    return made.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("attention", ["none", "dense", "depthwise"])
def test_with_average_pooling_they_are_cam(attention: str, images: Tensor) -> None:
    model = network(nn.AdaptiveAvgPool2d(1), nn.Flatten(), attention)
    maps, scores = activation_maps(model, images, [2, 0])
    with torch.no_grad():
        p = model.attention(model.features(images))
        # Zhou et al. 2016, Eq. 2: M_c(x, y) = sum over k of w_k^c f_k(x, y)
        for column, label in enumerate((2, 0)):
            expected = torch.einsum("c,bchw->bhw", model.classifier.weight[label], p)
            torch.testing.assert_close(maps[:, column], expected)
        torch.testing.assert_close(scores, model(images).sigmoid())
        # its mean, with the bias, is the logit
        torch.testing.assert_close(maps[:, 0].mean((1, 2)) + model.classifier.bias[2], model(images)[:, 2])


def test_with_another_head_they_are_grad_cam(images: Tensor) -> None:
    neck = nn.Sequential(
        nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(640, 640), nn.ReLU(inplace=True), nn.Dropout(0.5)
    )
    model = network(nn.Identity(), neck)
    maps, _ = activation_maps(model, images, [1])
    with torch.no_grad():
        p = model.attention(model.features(images))

    def logit(p_BCHW: Tensor) -> Tensor:
        return model.classifier(model.neck(model.pool(p_BCHW.clone())))[:, 1]

    slope = torch.autograd.functional.jacobian(lambda p_BCHW: logit(p_BCHW).sum(), p)
    # Selvaraju et al. 2017, Eq. 1 and 2, before the ReLU, with the sum over positions instead of the mean
    torch.testing.assert_close(maps[:, 0], (slope.sum((2, 3), keepdim=True) * p).sum(1))
    assert (maps != 0).any()


def test_images_of_a_batch_do_not_touch_each_other(images: Tensor) -> None:
    model = network(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    together, _ = activation_maps(model, images, [0, 1, 2, 3])
    alone = torch.cat([activation_maps(model, images[row : row + 1], [0, 1, 2, 3])[0] for row in range(3)])
    torch.testing.assert_close(together, alone)
    assert activation_maps(model, images, [])[0].shape == (3, 0, 2, 2)


def test_a_bundle_is_left_as_it_was(tiny_bundle: Path, images: Tensor) -> None:
    model = bundle.load(tiny_bundle, torch.device("cpu")).network
    before = {name: value.clone() for name, value in model.state_dict().items()}
    maps, scores = activation_maps(model, images, [0])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not maps.requires_grad
    torch.testing.assert_close(scores, model.predict(images)[0])
