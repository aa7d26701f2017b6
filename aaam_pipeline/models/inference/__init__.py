"""A trained model at work, behind one interface: torch on a CPU or a GPU, OpenVINO on a CPU. Loads neither.

Shapes: B batch, S side, L labels, D embedding.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.models.info import BundleInfo

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
