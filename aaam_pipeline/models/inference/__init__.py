"""A trained model at work, behind one interface: torch on a CPU or a GPU, OpenVINO on a CPU. Loads neither.

Also the runtimes that are extras: whether they are there, and how they are imported without noise or telemetry.

Shapes: B batch, S side, L labels, D embedding.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.models.info import BundleInfo

Runtime = Literal["openvino", "onnx"]
Precision = Literal["fp32", "bf16", "int8"]
PACKAGES: dict[Runtime, tuple[str, ...]] = {
    "openvino": ("openvino", "nncf"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}
Notify = Callable[[str], None]


class ModelOutput(NamedTuple):
    """The answer for a batch: probabilities (B, L), as the network gives them, and embeddings (B, D).

    The caller's own: never written to again.
    """

    scores_BL: NDArray[np.float32]
    embedding_BD: NDArray[np.float32]


class Backend(Protocol):
    """A loaded model. Not for several threads at once.

    `title`: for people. `info`: of the model, its `model_id` is what annotations are marked with.
    """

    title: str
    info: BundleInfo
    embedding_dim: int

    def start(self, pixels_BSS3: NDArray[np.uint8]) -> Callable[[], ModelOutput]:
        """Begin a batch; calling the result waits for it. Until then the pixels must stay as they are.

        Several batches may be under way; they are worked off in order.
        """


def installed(package: str) -> bool:
    """Tell whether a package is there, without importing it."""
    return find_spec(package) is not None


def need(extra: Runtime, *packages: str) -> None:
    """Check that an extra's packages (all of them, or those named) are there.

    Raises:
        UsageError: one is not; the message says how to install it.
    """
    for package in packages or PACKAGES[extra]:
        if not installed(package):
            raise UsageError(f"{package} is not installed: pip install 'aaam-pipe[{extra}]'")


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry: `import openvino` alone would count its uses and report them.

    Raises:
        UsageError: it is not installed.
    """
    need("openvino", "openvino")
    # an entry of None makes the import of that package fail; openvino and nncf then use their own stand-ins for it
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@contextmanager
def quiet() -> Iterator[None]:
    """Keep converters from printing, logging and warning what says nothing to a user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
