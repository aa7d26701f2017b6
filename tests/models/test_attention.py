import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from aaam_pipeline.models.info import AttentionParams
from aaam_pipeline.models.network import SelfAttention

C, H, W = 3, 4, 5
ACTIVATIONS = {"none": lambda x: x, "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "tanh": math.tanh}


def layer(filters: str, activation: str = "none", kernel_size: int = 3) -> SelfAttention:
    torch.manual_seed(0)
    params = AttentionParams(filters=filters, activation=activation, kernel_size=kernel_size)  # type: ignore[arg-type]
    made = SelfAttention(C, (H, W), params)
    nn.init.normal_(made.filters.weight, std=0.3)
    assert made.filters.bias is not None
    nn.init.normal_(made.filters.bias)
    return made.double()


def slow_equation_7(made: SelfAttention, p_CHW: Tensor, filters: str, activation: str, kernel_size: int) -> Tensor:
    """Compute p + alpha * p' with one scalar operation at a time."""
    conv, conv_bias = made.conv.weight.tolist(), made.conv.bias.tolist()  # type: ignore[union-attr]
    full, full_bias = made.filters.weight.tolist(), made.filters.bias.tolist()  # type: ignore[union-attr]
    reach, p = kernel_size // 2, p_CHW.tolist()
    mapped = [[[conv_bias[c]] * W for _ in range(H)] for c in range(C)]
    for c, y, x in itertools.product(range(C), range(H), range(W)):
        mapped[c][y][x] += sum(
            conv[c][d][dy][dx] * p[d][y + dy - reach][x + dx - reach]
            for d, dy, dx in itertools.product(range(C), range(kernel_size), range(kernel_size))
            if 0 <= y + dy - reach < H and 0 <= x + dx - reach < W
        )
    out = torch.zeros(C, H, W, dtype=torch.float64)
    for c in range(C):
        seen = [(d, d) for d in range(C)] if filters == "dense" else [(0, c)]
        alpha = full_bias[c] + sum(
            full[c][own][y][x] * mapped[d][y][x] for (own, d), y, x in itertools.product(seen, range(H), range(W))
        )
        for y, x in itertools.product(range(H), range(W)):
            out[c, y, x] = p[c][y][x] + ACTIVATIONS[activation](alpha) * mapped[c][y][x]
    return out


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("filters", ["dense", "depthwise"])
def test_equation_7_the_layer(filters: str, activation: str, kernel_size: int) -> None:
    made = layer(filters, activation, kernel_size)
    p_BCHW = torch.randn(2, C, H, W, dtype=torch.float64)
    expected = torch.stack([slow_equation_7(made, p, filters, activation, kernel_size) for p in p_BCHW])
    torch.testing.assert_close(made(p_BCHW), expected)


def test_dense_filters_see_all_channels_and_depthwise_only_their_own() -> None:
    assert layer("dense").filters.weight.shape == (C, C, H, W)
    assert layer("depthwise").filters.weight.shape == (C, 1, H, W)


@pytest.mark.parametrize("activation", ["none", "tanh"])
@pytest.mark.parametrize("filters", ["dense", "depthwise"])
def test_a_new_layer_is_the_identity(filters: str, activation: str) -> None:
    params = AttentionParams(filters=filters, activation=activation)  # type: ignore[arg-type]
    p_BCHW = torch.randn(2, C, H, W)
    assert torch.equal(SelfAttention(C, (H, W), params)(p_BCHW), p_BCHW)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("filters", ["dense", "depthwise"])
def test_a_gradient_reaches_the_filters_of_a_new_layer(filters: str, activation: str) -> None:
    params = AttentionParams(filters=filters, activation=activation)  # type: ignore[arg-type]
    made = SelfAttention(C, (H, W), params)
    made(torch.randn(2, C, H, W)).square().sum().backward()
    gradient = made.filters.weight.grad
    assert gradient is not None
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("kernel_size", [1, 5, 7])
def test_the_convolution_keeps_the_size_for_odd_kernels(kernel_size: int) -> None:
    params = AttentionParams(kernel_size=kernel_size)
    assert SelfAttention(C, (H, W), params)(torch.randn(1, C, H, W)).shape == (1, C, H, W)
