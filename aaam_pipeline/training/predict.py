"""What a network predicts for prepared pictures.

Shapes: N images of a split, S side, L labels, D embedding.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.datasets.prepared import read_labels, read_split
from aaam_pipeline.formats.columns import to_float16
from aaam_pipeline.formats.scores import ScoredSplit
from aaam_pipeline.models import Network, bundle
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.distributed import DistributedContext

BATCH = 128


class SplitPredictions(NamedTuple):
    """Probabilities (N, L) and embeddings (N, D), float32."""

    scores_NL: NDArray[np.float32]
    embedding_ND: NDArray[np.float32]


def predict(
    network: Network, preprocess: Preprocess, pixels_NSS3: NDArray[np.uint8], context: DistributedContext
) -> SplitPredictions:
    """Predict prepared pictures, uint8 (N, S, S, 3); the network stays in evaluation mode.

    Every process predicts its share, and gets all.
    """
    network.eval()
    rows = context.shard(np.arange(len(pixels_NSS3)))
    predicted = [
        network.predict(preprocess.normalise(torch.tensor(pixels_NSS3[part], device=context.device)))
        for part in (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
    ]
    return SplitPredictions(
        *(
            context.all_gather(torch.cat(parts), len(pixels_NSS3)).cpu().numpy()
            for parts in zip(*predicted, strict=True)
        )
    )


def score_split(model: Path, prepared: Path, name: str, device: str = "auto") -> ScoredSplit:
    """Score any split of a prepared data set with a bundle, as training does it for the test split.

    Raises:
        IntegrityError: the bundle is of other labels or of another picture size than the data set.
        UsageError, DeviceError, DatasetError: as `bundle.load` and `read_split`.
    """
    context = DistributedContext(device)
    network, info, _ = bundle.load(model, context.device)
    split = read_split(prepared, name)
    if read_labels(prepared) != info.vocabulary or split.pixels_NSS3.shape[1] != info.preprocess.size:
        raise IntegrityError(f"{model} was trained with other labels or another picture size than {prepared} has")
    found = predict(network, info.preprocess, split.pixels_NSS3, context)
    return ScoredSplit(
        split.image_ids, found.scores_NL, split.targets_NL, info.vocabulary, info.k, info.calibration,
        to_float16(found.embedding_ND),
    )  # fmt: skip
