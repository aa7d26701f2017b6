"""In which precision the forward pass of training runs."""

import pytest
import torch
from torch import nn

from aaam_pipeline.training.device import autocast

CPU = torch.device("cpu")
IMAGES = torch.linspace(-1, 1, 2 * 4 * 6 * 6).reshape(2, 4, 6, 6)
# as the layer before leaves them
IMAGES_BF16 = IMAGES.to(torch.bfloat16)


def layer(stride: int, groups: int) -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(4, 4, 3, stride=stride, padding=1, groups=groups)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_a_cpu_computes_in_fp32_unless_it_is_asked_for_bf16(precision: str, dtype: torch.dtype) -> None:
    with autocast(precision, CPU):
        assert layer(1, 1)(IMAGES).dtype is dtype
    assert layer(1, 1)(IMAGES).dtype is torch.float32


def test_on_a_cpu_a_strided_depthwise_convolution_is_as_exact_as_in_fp32() -> None:
    conv = layer(2, 4)
    with autocast("bf16", CPU):
        seen = conv(IMAGES_BF16)
    torch.testing.assert_close(seen, conv(IMAGES_BF16.float()).to(torch.bfloat16), rtol=0, atol=0)
    seen.float().square().sum().backward()
    own, conv.weight.grad = conv.weight.grad, None
    conv(IMAGES_BF16.float()).to(torch.bfloat16).float().square().sum().backward()
    assert own is not None
    assert conv.weight.grad is not None
    torch.testing.assert_close(own, conv.weight.grad, rtol=0, atol=0)


@pytest.mark.parametrize(("stride", "groups"), [(1, 4), (2, 1), (1, 1)])
def test_all_other_convolutions_are_in_bf16(stride: int, groups: int) -> None:
    conv = layer(stride, groups)
    with autocast("bf16", CPU):
        seen = conv(IMAGES)
    assert not torch.equal(seen, conv(IMAGES).to(torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(seen, conv(IMAGES))
