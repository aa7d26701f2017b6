"""A forward pass captured as a CUDA graph: a GPU gets at once what it else gets kernel by kernel.

Small networks spend more time on launching kernels than on computing. See "CUDA Graphs" in PyTorch's documentation.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# (B, S, S, 3) uint8 -> scores (B, L), embeddings (B, D)
Forward = Callable[[Tensor], tuple[Tensor, ...]]
# forward passes in which cuDNN and cuBLAS make their choices and take their memory
WARM_UP = 3
# a graph computes what was captured: anything beyond rounding is a fault
CLOSE = 1e-3


class CapturedGraph:
    """A forward pass for batches of one size; its answers are overwritten by the next batch in the same stream."""

    def __init__(self, forward: Forward, pixels_BSS3: Tensor) -> None:
        """Capture `forward` on the device of `pixels_BSS3`.

        Raises:
            RuntimeError: it cannot be captured, or the graph does not give its answers.
        """
        self._pixels_BSS3 = pixels_BSS3.clone()
        device = pixels_BSS3.device
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                expected = forward(self._pixels_BSS3)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.graph(self._graph):
            self._answers = forward(self._pixels_BSS3)
        found = self(pixels_BSS3)
        if not all(
            torch.allclose(one, other, rtol=CLOSE, atol=CLOSE) for one, other in zip(found, expected, strict=True)
        ):
            raise RuntimeError("the captured forward pass gives other answers")

    def __call__(self, pixels_BSS3: Tensor) -> tuple[Tensor, ...]:
        """Enqueue a batch of the captured size."""
        self._pixels_BSS3.copy_(pixels_BSS3, non_blocking=True)
        self._graph.replay()
        return self._answers


class CudaGraphRunner:
    """Runs a forward pass on a GPU: captured from the second batch of the same size on, else as it is."""

    def __init__(self, forward: Forward, capture: Callable[[Forward, Tensor], Forward] = CapturedGraph) -> None:
        """Use `capture` to capture; tests have no GPU."""
        self._forward, self._capture = forward, capture
        self._size = 0
        self._captured: Forward | None = None

    def __call__(self, pixels_BSS3: Tensor) -> tuple[Tensor, ...]:
        """Enqueue a batch of any size."""
        size = len(pixels_BSS3)
        if self._captured is None and size == self._size:
            try:
                self._captured = self._capture(self._forward, pixels_BSS3)
            except RuntimeError:
                # also for want of memory: that of a graph comes on top
                self._captured = self._forward
        if self._captured and size == self._size:
            return self._captured(pixels_BSS3)
        if self._captured is None:
            self._size = size
        return self._forward(pixels_BSS3)

    def forget(self) -> None:
        """Drop the graph and its memory."""
        self._captured, self._size = None, 0
