"""The role that holds the model: a batch of read images -> their rows. Every engine calls the same object.

Shapes: B batch, G decoded images of it, S side, L labels, D embedding.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from aaam_pipeline.annotate.reader import Image
from aaam_pipeline.core import schema
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.models.bundle import Bundle
from aaam_pipeline.models.preprocess import Decoded

HALF = float(np.finfo(np.float16).max)


class Assignment(NamedTuple):
    """Which labels an image gets: those from `threshold` on (None: the bundle's own, one a label), `top` at most.

    With `top` alone it gets its `top` best labels whatever their scores, as in the paper's protocol.
    """

    top: int | None = None
    threshold: float | None = None


class Mapper:
    """Annotates batches with one model. Not for several threads at once."""

    def __init__(self, bundle: Bundle, assignment: Assignment | None = None) -> None:
        """Take a loaded bundle, on whatever device it is."""
        self.bundle = bundle
        self.assignment = assignment = assignment or Assignment()
        self.device = next(bundle.network.parameters()).device
        self.schema = schema.annotations(len(bundle.info.vocabulary), bundle.network.embedding_dim)
        limits = bundle.info.thresholds if assignment.threshold is None else assignment.threshold
        self._limits_L = np.broadcast_to(np.asarray(limits, dtype=np.float32), (len(bundle.info.vocabulary),))
        if assignment.top is not None and assignment.threshold is None:
            self._limits_L = np.zeros_like(self._limits_L)

    def __call__(self, images: Sequence[Image]) -> pa.RecordBatch:
        """Return one row for every image, in order; a failed image's row holds nulls and does not touch the others."""
        pictures = [image.picture for image in images]
        good = [row for row, picture in enumerate(pictures) if isinstance(picture, Decoded)]
        scores_GL, embedding_GD = self.predict([p.pixels_SS3 for p in pictures if isinstance(p, Decoded)])
        labels, label_scores = self._assign(scores_GL)
        errors = [picture if isinstance(picture, ImageError) else None for picture in pictures]
        facts: dict[str, list[Any]] = {
            "path": [image.source.path for image in images],
            "root": [image.source.root for image in images],
            "sha256": [image.sha256 for image in images],
            "bytes": [image.bytes for image in images],
            "mtime": [image.mtime for image in images],
            "width": [None if isinstance(picture, ImageError) else picture.width for picture in pictures],
            "height": [None if isinstance(picture, ImageError) else picture.height for picture in pictures],
            "status": ["failed" if error else "ok" for error in errors],
            "error_type": [error.kind if error else None for error in errors],
            "error_message": [str(error) if error else None for error in errors],
            "model_id": [self.bundle.info.model_id] * len(images),
        }
        answers = pa.table(
            {
                "labels": pa.array(labels, pa.list_(pa.string())),
                "label_scores": pa.array(label_scores, pa.list_(pa.float32())),
                "scores": schema.fixed_list(scores_GL.astype(np.float16)),
                "embedding": schema.fixed_list(embedding_GD.clip(-HALF, HALF).astype(np.float16)),
            }
        )
        places: list[int | None] = [None] * len(images)
        for place, row in enumerate(good):
            places[row] = place
        answers = answers.take(pa.array(places, pa.int32()))
        columns = [
            pa.array(facts[field.name], field.type)
            if field.name in facts
            else answers[field.name].combine_chunks().cast(field.type)
            for field in self.schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def predict(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return scores (G, L) and embeddings (G, D) of decoded pictures, each uint8 (S, S, 3); G may be 0."""
        info, network = self.bundle.info, self.bundle.network
        if not pixels:
            empty = np.zeros((0, 1), np.float32)
            return empty.repeat(len(info.vocabulary), 1), empty.repeat(network.embedding_dim, 1)
        batch = torch.from_numpy(np.stack(pixels)).to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            scores_GL, embedding_GD = network.predict(info.preprocess.normalise(batch))
        return scores_GL.cpu().numpy(), embedding_GD.cpu().numpy()

    def _assign(self, scores_GL: NDArray[np.float32]) -> tuple[list[list[str]], list[list[float]]]:
        """Return each image's labels and their scores, best first, ties by label order."""
        vocabulary = self.bundle.info.vocabulary
        order_GL = np.argsort(-scores_GL, axis=1, kind="stable")
        labels, label_scores = [], []
        for scores_L, order_L in zip(scores_GL, order_GL, strict=True):
            chosen = [i for i in order_L if scores_L[i] >= self._limits_L[i]][: self.assignment.top]
            labels.append([vocabulary[i] for i in chosen])
            label_scores.append([float(scores_L[i]) for i in chosen])
        return labels, label_scores
