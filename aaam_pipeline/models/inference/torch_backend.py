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
from torch import Tensor, nn

from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.machine import keep_freed_memory
from aaam_pipeline.models.inference import ModelOutput, Notify
from aaam_pipeline.models.info import BundleInfo, Precision
from aaam_pipeline.models.network import Network
from aaam_pipeline.models.preprocess import Preprocess

# (B, S, S, 3) uint8 -> scores (B, L), embeddings (B, D)
Forward = Callable[[Tensor], tuple[Tensor, ...]]
# forward passes in which cuDNN and cuBLAS make their choices and take their memory
WARM_UP = 3
# a graph computes what was captured: anything beyond rounding is a fault
CLOSE = 1e-3


class InferenceModule(nn.Module):
    """The whole model, which every runtime computes: preprocessing, network and sigmoid.

    Pixels, uint8 (B, S, S, 3) -> scores (B, L) and embeddings (B, D), float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, preprocess: Preprocess) -> None:
        """Wrap a network in evaluation mode."""
        super().__init__()
        self.network = network
        device = network.classifier.weight.device
        # buffers, not constants made in `forward`: a GPU would wait for them to be copied in every batch
        self.register_buffer("mean", torch.tensor(preprocess.mean, device=device), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std, device=device), persistent=False)
        self.eval()

    def forward(self, pixels_BSS3: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise as `Preprocess.normalise` does, and predict."""
        images_BSS3 = pixels_BSS3.float().div(255).sub(self.mean).div(self.std)
        embedding_BD = self.network.embed(images_BSS3.permute(0, 3, 1, 2))
        scores_BL: Tensor = self.network.classifier(embedding_BD).sigmoid()
        return scores_BL, embedding_BD


class CapturedGraph:
    """A forward pass for batches of one size; its answers are overwritten by the next batch in the same stream.

    A GPU gets at once what it else gets kernel by kernel: small networks spend more time on launching kernels than on
    computing. See "CUDA Graphs" in PyTorch's documentation.
    """

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

    def _forward(self, pixels_BSS3: Tensor) -> tuple[Tensor, ...]:
        # no cache: each weight is used once, and a CUDA graph cannot hold one
        with torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16", cache_enabled=False
        ):
            answers: tuple[Tensor, ...] = self._module(pixels_BSS3)
        return answers


def _joined(pieces: list[ModelOutput]) -> ModelOutput:
    if len(pieces) == 1:
        return pieces[0]
    return ModelOutput(*(np.concatenate(arrays) for arrays in zip(*pieces, strict=True)))
