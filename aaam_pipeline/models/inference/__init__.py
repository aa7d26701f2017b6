"""A trained model at work, behind one interface: torch on a CPU or a GPU, OpenVINO on a CPU. Loads neither.

Also how OpenVINO is imported, and converters are used, without noise or telemetry.

Shapes: B batch, S side, L labels, D embedding.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.models.info import BundleInfo

Notify = Callable[[str], None]
CONVERTERS = "openvino.tools.ovc"


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


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry: `import openvino` alone would count its uses and report them.

    Its converters, half of the time of the import, are left out; they can be imported from `openvino.tools.ovc`.
    """
    # an entry of None makes the import of that package fail; openvino and nncf then use their own stand-ins for it
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    sys.modules.setdefault(CONVERTERS, None)  # type: ignore[arg-type]
    import openvino

    if sys.modules[CONVERTERS] is None:
        del sys.modules[CONVERTERS]
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
