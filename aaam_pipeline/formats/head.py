"""The head of a model: what makes scores of an embedding, in NumPy. Annotating, retrieval and curation compute with it.

Shapes: N images, L labels, D embedding.

A label's logit is a linear function of the embedding, w_l . e + b_l. The network gives its sigmoid; a calibration makes
another line of the logit (`formats.calibration`), and from a label's threshold on the label is assigned.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.calibration import Calibration, calibrate, sigmoid

WEIGHT, BIAS = "weight", "bias"


class LinearHead(NamedTuple):
    """`weight_LD` and `bias_L`, float32; the calibration (None: there is none), and a threshold for each label."""

    weight_LD: NDArray[np.float32]
    bias_L: NDArray[np.float32]
    calibration: Calibration | None = None
    thresholds: Sequence[float] = ()

    @property
    def embedding_dim(self) -> int:
        """Return D."""
        return int(self.weight_LD.shape[1])

    def logits(self, embedding_ND: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return what the last layer gives, (N, L)."""
        logits_NL: NDArray[np.float32] = np.asarray(embedding_ND, np.float32) @ self.weight_LD.T + self.bias_L
        return logits_NL

    def probabilities(self, embedding_ND: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the scores that the network gives, (N, L), not calibrated."""
        return sigmoid(self.logits(embedding_ND)).astype(np.float32)

    def scores(self, embedding_ND: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return calibrated scores, (N, L), as annotations have them."""
        return calibrate(self.probabilities(embedding_ND), self.calibration).astype(np.float32)

    def assigned(self, embedding_ND: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which labels an image gets, (N, L)."""
        reached_NL: NDArray[np.bool_] = self.scores(embedding_ND) >= np.asarray(self.thresholds, np.float32)
        return reached_NL

    def digest(self, vocabulary: Sequence[str]) -> str:
        """Return what identifies this head of these labels: 8 hexadecimal digits."""
        calibration = self.calibration and [self.calibration.slopes, self.calibration.biases]
        layer = [np.asarray(each, "<f4").tobytes().hex() for each in (self.weight_LD, self.bias_L)]
        return fingerprint([list(vocabulary), *layer, calibration, list(self.thresholds)])[:8]


def write_head(path: Path, head: LinearHead, stored: Literal["float32", "float16"] = "float32") -> None:
    """Write the last layer of a head as `.safetensors`: `weight` (L, D) and `bias` (L,)."""
    from safetensors.numpy import save_file

    layer = {WEIGHT: head.weight_LD, BIAS: head.bias_L}
    save_file({name: np.ascontiguousarray(value, stored) for name, value in layer.items()}, path)


def read_head(path: Path, calibration: Calibration | None = None, thresholds: Sequence[float] = ()) -> LinearHead:
    """Read what `write_head` wrote; the calibration and the thresholds are the caller's.

    Raises:
        IntegrityError: the file is not there, or no head is in it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        layer = load_file(path)
        weight_LD, bias_L = (layer[name].astype(np.float32) for name in (WEIGHT, BIAS))
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} holds no head: {' '.join(str(error).split())}") from None
    if weight_LD.ndim != 2 or bias_L.shape != weight_LD.shape[:1]:
        raise IntegrityError(f"{path} holds no head: weight {weight_LD.shape}, bias {bias_L.shape}")
    return LinearHead(weight_LD, bias_L, calibration, thresholds)
