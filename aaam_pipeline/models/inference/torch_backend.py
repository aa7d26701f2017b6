"""The model in torch: on a CPU eager, in a process that keeps the memory it has; on a GPU a CUDA graph, with pinned
memory and copies that nobody waits for.

Shapes: B batch, S side, L labels, D embedding.

A GPU computes in fp32 without TF32: TF32's, fp16's and bf16's shorter mantissas change scores by up to 0.03, 0.02 and
0.2 (measured on trained and random networks), more than the 0.005 within which a GPU's annotations must equal a CPU's.
bf16 is there for those who ask for it, under a model id of its own.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.machine import keep_freed_memory
from aaam_pipeline.models.inference import ModelOutput, Notify
from aaam_pipeline.models.inference.cuda_graphs import CudaGraphRunner
from aaam_pipeline.models.inference.module import InferenceModule
from aaam_pipeline.models.inference.runtimes import Precision
from aaam_pipeline.models.info import BundleInfo


class TorchBackend:
    """A `Backend` of a network in torch, on the device where it lies."""

    def __init__(
        self, module: InferenceModule, info: BundleInfo, precision: Precision = "fp32", notify: Notify = lambda _: None
    ) -> None:
        """Use a network in evaluation mode."""
        self.info = info
        self.embedding_dim = module.network.embedding_dim
        self._module, self._precision, self._notify = module, precision, notify
        self._device = module.mean.device
        self._gpu = self._device.type == "cuda"
        self._largest = 2**31
        self._on_gpu = CudaGraphRunner(self._forward)
        self.title = f"torch on {self._device}" + (" (bf16)" if precision == "bf16" else "")
        if self._gpu:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        else:
            keep_freed_memory()

    def start(self, pixels_BSS3: NDArray[np.uint8]) -> Callable[[], ModelOutput]:
        """Begin a batch: on a GPU it is only enqueued, on a CPU it is done when this returns.

        Raises:
            AaamError: the device's memory does not suffice for one image.
        """
        if not len(pixels_BSS3):
            return lambda: ModelOutput(
                np.zeros((0, len(self.info.vocabulary)), np.float32), np.zeros((0, self.embedding_dim), np.float32)
            )
        pieces: list[Callable[[], ModelOutput]] = []
        done, before = 0, self._largest
        while done < len(pixels_BSS3):
            piece_BSS3 = pixels_BSS3[done : done + self._largest]
            try:
                pieces.append(self._enqueue(piece_BSS3))
                done += len(piece_BSS3)
            except torch.OutOfMemoryError:
                self._halve(len(piece_BSS3))
        if self._largest < before:
            self._notify(f"{self._device} ran out of memory: continuing with {self._largest} images at once")
        return lambda: _joined([piece() for piece in pieces])

    def _halve(self, size: int) -> None:
        """Remember that a batch of `size` is too large."""
        if size == 1:
            raise AaamError(
                f"{self._device} has no memory for even one image: free some, or use --device cpu"
            ) from None
        if self._gpu:
            self._on_gpu.forget()
            torch.cuda.empty_cache()
        self._largest = size // 2

    @torch.inference_mode()
    def _enqueue(self, pixels_BSS3: NDArray[np.uint8]) -> Callable[[], ModelOutput]:
        # a copy: the array may be read-only, and the caller may fill it anew before a GPU has read it
        pixels = torch.tensor(pixels_BSS3)
        if not self._gpu:
            on_cpu = self._forward(pixels)
            return lambda: ModelOutput(*(answer.float().numpy() for answer in on_cpu))
        answers = self._on_gpu(pixels.pin_memory().to(self._device, non_blocking=True))
        pinned = [torch.empty(answer.shape, pin_memory=True) for answer in answers]
        for target, answer in zip(pinned, answers, strict=True):
            target.copy_(answer, non_blocking=True)
        finished = torch.cuda.Event()  # type: ignore[no-untyped-call]
        finished.record(torch.cuda.current_stream(self._device))

        def wait() -> ModelOutput:
            finished.synchronize()
            return ModelOutput(*(target.numpy() for target in pinned))

        return wait

    def _forward(self, pixels_BSS3: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # no cache: each weight is used once, and a CUDA graph cannot hold one
        with torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16", cache_enabled=False
        ):
            answers: tuple[torch.Tensor, ...] = self._module(pixels_BSS3)
        return answers


def _joined(pieces: list[ModelOutput]) -> ModelOutput:
    if len(pieces) == 1:
        return pieces[0]
    return ModelOutput(*(np.concatenate(arrays) for arrays in zip(*pieces, strict=True)))
