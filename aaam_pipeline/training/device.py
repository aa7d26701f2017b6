"""How a device computes in training: the same every time on a CPU, and in bf16 or fp32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from aaam_pipeline.core.machine import keep_freed_memory


def set_up_process(device: torch.device) -> None:
    """Set the whole process up to train on `device`: a CPU computes deterministically, and keeps the memory it has."""
    on_cpu = device.type == "cpu"
    torch.use_deterministic_algorithms(on_cpu)
    # deterministic algorithms come with filling all new memory, to show who reads it unset: a sixth of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = device.type == "cuda"
    if on_cpu:
        keep_freed_memory()


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """Run the network's forward pass in `precision`: `bf16`, `fp32`, or `auto`, bf16 on a GPU and fp32 on a CPU."""
    if precision == "fp32" or (precision == "auto" and device.type != "cuda"):
        yield
    elif device.type == "cpu":
        with torch.autocast("cpu", dtype=torch.bfloat16), _StridedDepthwiseInFp32():
            yield
    else:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            yield


class _StridedDepthwiseInFp32(TorchFunctionMode):
    """Leaves out of a CPU's autocast what takes several times as long on the way back as it does in fp32."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`, in fp32 if it is a convolution by groups with a stride, called as nn.Conv2d does."""
        if func is torch.conv2d and len(args) == 7 and torch.is_grad_enabled():
            images, weight, bias, stride, padding, dilation, groups = args
            if groups > 1 and max(stride) > 1:
                with torch.autocast("cpu", enabled=False):
                    return func(images.float(), weight, bias, stride, padding, dilation, groups).to(images.dtype)
        return func(*args, **(kwargs or {}))
