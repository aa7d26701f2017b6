"""A network for other words, from one that is trained: all but the classifier, and of that the rows of shared words."""

from pathlib import Path

import torch

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.models import ModelParams, Network, bundle
from aaam_pipeline.models.info import BundleInfo
from aaam_pipeline.models.preprocess import Preprocess


def adopt(
    folder: Path, model: ModelParams, preprocess: Preprocess, labels: list[str], share_L: torch.Tensor
) -> Network:
    """Return a network of `labels` with the weights of the bundle `folder`.

    A word is the same in any case of its letters. A row for a new word starts at random, and its bias from `share_L`,
    the share of training images that have it.

    Raises:
        UsageError: the bundle is of another backbone, attention or preprocessing.
        IntegrityError: as `bundle.load`.
    """
    origin = bundle.load(folder, torch.device("cpu"))
    if fault := misfit(origin.info, model, preprocess):
        raise UsageError(f"{folder} cannot be started from: {fault}")
    network = Network(model, len(labels), preprocess.size)
    network.classifier.bias.data.copy_(share_L.logit())
    kept = {name: each for name, each in origin.network.state_dict().items() if not name.startswith("classifier.")}
    network.load_state_dict(kept, strict=False)
    known = rows_of(origin.info.vocabulary)
    with torch.no_grad():
        for row, label in enumerate(labels):
            if (before := known.get(label.casefold())) is not None:
                network.classifier.weight[row] = origin.network.classifier.weight[before]
                network.classifier.bias[row] = origin.network.classifier.bias[before]
    return network


def rows_of(vocabulary: list[str]) -> dict[str, int]:
    """Return the row of each word, by the word without case."""
    return {label.casefold(): row for row, label in enumerate(vocabulary)}


def misfit(origin: BundleInfo, model: ModelParams, preprocess: Preprocess) -> str:
    """Say what of a bundle is other than what is to be trained; "" if nothing is."""
    before = origin.architecture
    if before.backbone != model.backbone:
        return f"its backbone is {before.backbone}, not {model.backbone}"
    if before.attention != model.attention:
        return "its attention has another form"
    return "" if origin.preprocess == preprocess else "it sees pictures of another size or with other statistics"
