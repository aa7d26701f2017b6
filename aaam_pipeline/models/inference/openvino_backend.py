"""The model in OpenVINO, on a CPU: a bundle converted in memory (fp32), or an export.

Shapes: B batch, S side, L labels, D embedding.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.machine import available_cores, has_quota
from aaam_pipeline.models.inference import ModelOutput, Precision, load_openvino
from aaam_pipeline.models.info import BundleInfo

# images of one request: few enough for the caches, enough for the weights of fully connected layers to be read seldom
CHUNK = 8


class OpenVinoBackend:
    """A `Backend` of an `openvino.Model` of uint8 pixels -> scores and embeddings."""

    def __init__(self, model: Any, info: BundleInfo, embedding_dim: int, precision: Precision) -> None:
        """Compile the model for this processor.

        Raises:
            UsageError: the processor has no bf16, and that is what is asked for.
        """
        openvino = load_openvino()
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UsageError("this processor has no bf16: use the model's bundle, or its fp32 or int8 export")
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            # fp32 where nothing else is asked for: OpenVINO alone would take bf16 where the processor has it
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            # decoding processes use the same cores: the system must be free to move threads
            "ENABLE_CPU_PINNING": False,
        }
        if has_quota():
            settings["INFERENCE_NUM_THREADS"] = available_cores()
        self.info, self.embedding_dim = info, embedding_dim
        self.title = f"OpenVINO {precision} on cpu"
        self._queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings))
        self._thread = ThreadPoolExecutor(1, "openvino")

    def start(self, pixels_BSS3: NDArray[np.uint8]) -> Callable[[], ModelOutput]:
        """Begin a batch; it is worked off in the background."""
        return self._thread.submit(self._predict, pixels_BSS3).result

    def _predict(self, pixels_BSS3: NDArray[np.uint8]) -> ModelOutput:
        batch = len(pixels_BSS3)
        answer = ModelOutput(
            np.empty((batch, len(self.info.vocabulary)), np.float32), np.empty((batch, self.embedding_dim), np.float32)
        )

        def keep(request: Any, first: int) -> None:
            for target, tensor in zip(answer, request.output_tensors, strict=True):
                target[first : first + len(tensor.data)] = tensor.data

        self._queue.set_callback(keep)
        for first in range(0, batch, CHUNK):
            self._queue.start_async({0: pixels_BSS3[first : first + CHUNK]}, first)
        self._queue.wait_all()
        return answer
