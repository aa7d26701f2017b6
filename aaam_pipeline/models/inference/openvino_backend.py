"""The runtime form of a model in OpenVINO, on a CPU; the last layer in NumPy.

Shapes: B batch, S side, L labels, D embedding.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.machine import available_cores, has_quota
from aaam_pipeline.formats.head import LinearHead, read_head
from aaam_pipeline.models.inference import ModelOutput, load_openvino
from aaam_pipeline.models.info import HEAD, BundleInfo, Precision, checked_file

# images of one request: few enough for the caches, enough for the weights of fully connected layers to be read seldom
CHUNK = 8


class OpenVinoBackend:
    """A `Backend` of an `openvino.Model` of uint8 pixels -> embeddings."""

    def __init__(self, model: Any, info: BundleInfo, head: LinearHead, precision: Precision) -> None:
        """Compile the model for this processor; `info` is what annotations are marked with."""
        openvino = load_openvino()
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            # OpenVINO alone would take bf16 where the processor has it
            "INFERENCE_PRECISION_HINT": "f32",
            # decoding processes use the same cores: the system must be free to move threads
            "ENABLE_CPU_PINNING": False,
        }
        if has_quota():
            settings["INFERENCE_NUM_THREADS"] = available_cores()
        self.info, self.embedding_dim = info, head.embedding_dim
        self.title = f"OpenVINO {precision} on cpu"
        self._head = head
        self._queue = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", settings))
        self._thread = ThreadPoolExecutor(1, "openvino")

    def start(self, pixels_BSS3: NDArray[np.uint8]) -> Callable[[], ModelOutput]:
        """Begin a batch; it is worked off in the background."""
        return self._thread.submit(self._predict, pixels_BSS3).result

    def _predict(self, pixels_BSS3: NDArray[np.uint8]) -> ModelOutput:
        batch = len(pixels_BSS3)
        embedding_BD = np.empty((batch, self.embedding_dim), np.float32)

        def keep(request: Any, first: int) -> None:
            found_BD = request.output_tensors[0].data
            embedding_BD[first : first + len(found_BD)] = found_BD

        self._queue.set_callback(keep)
        for first in range(0, batch, CHUNK):
            self._queue.start_async({0: pixels_BSS3[first : first + CHUNK]}, first)
        self._queue.wait_all()
        return ModelOutput(self._head.probabilities(embedding_BD), embedding_BD)


def read_form(path: Path) -> Any:
    """Return a runtime form as an `openvino.Model`.

    Raises:
        IntegrityError: it is none.
    """
    openvino = load_openvino()
    from openvino.frontend import FrontEndManager

    try:
        # what is no ONNX at all is given to the readers of all other formats, which print what they think of it
        FrontEndManager().load_by_framework("onnx").load(str(path))
        return openvino.Core().read_model(path)
    # of several kinds, that have nothing but this in common
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise IntegrityError(f"{path} cannot be read: {lines[-1] if lines else 'it is no ONNX'}") from None


def load_form(folder: Path, info: BundleInfo) -> OpenVinoBackend:
    """Load the runtime form of the bundle in `folder`, whose info this is.

    Raises:
        IntegrityError: a file is missing or damaged.
    """
    assert info.runtime is not None
    form = info.runtime
    head = read_head(checked_file(folder, info, HEAD), info.calibration, info.thresholds)
    model = read_form(checked_file(folder, info, form.file))
    if head.weight_LD.shape[0] != len(info.vocabulary):
        raise IntegrityError(f"{folder / HEAD} is not of {len(info.vocabulary)} labels")
    return OpenVinoBackend(model, info.of_precision(form.precision), head, form.precision)
