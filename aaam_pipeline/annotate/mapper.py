"""The mapper holds the model: a batch of read images -> their rows. Every engine calls the same object.

Backends give what the network gives; here, and nowhere else, it is calibrated (`formats.calibration`): the scores of
rows, and of all that is made of them, are calibrated probabilities.

Shapes: B batch, S side, L labels, D embedding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aaam_pipeline.annotate.backends import Backend, ModelOutput
from aaam_pipeline.annotate.options import Assignment
from aaam_pipeline.annotate.reader import ReadImage
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.formats.columns import fixed_size_list
from aaam_pipeline.formats.familiarity import Familiarity
from aaam_pipeline.formats.labelling import assign
from aaam_pipeline.formats.parts import annotations_schema, round_embedding, round_scores
from aaam_pipeline.imaging.resizing import DecodedImage


class Mapper:
    """Annotates batches with one model. Not for several threads at once."""

    def __init__(self, backend: Backend, assignment: Assignment, familiarity: Familiarity | None = None) -> None:
        """Use a model that is loaded already; without `familiarity` no row says whether it is unfamiliar."""
        self.backend, self.info, self.assignment = backend, backend.info, assignment
        self.familiarity = familiarity
        self.schema = annotations_schema(len(self.info.vocabulary), backend.embedding_dim)
        self._limits_L = assignment.limits(self.info.thresholds)

    def start(self, images: Sequence[ReadImage]) -> Callable[[], pa.RecordBatch]:
        """Begin a batch; the function returned waits for the model and returns the rows, one for every image, in order.

        So a GPU works on one batch while the rows of the one before are made. A failed image's row holds nulls and
        does not touch the others.
        """
        if all(isinstance(image.picture, ImageError) for image in images):
            labels, dim = len(self.info.vocabulary), self.backend.embedding_dim
            nothing = ModelOutput(np.zeros((len(images), labels), np.float32), np.zeros((len(images), dim), np.float32))
            return lambda: self._rows(images, nothing)
        predicted = self.backend.start(self._pixels(images))
        return lambda: self._rows(images, predicted())

    def _pixels(self, images: Sequence[ReadImage]) -> NDArray[np.uint8]:
        """Return the batch, (B, S, S, 3). A failed image is black in it, so that it changes nothing for the others.

        (A batch of another size may be computed in another order, and end in other last digits.)
        """
        side = self.info.preprocess.size
        pixels_BSS3 = np.zeros((len(images), side, side, 3), np.uint8)
        for pixels_SS3, image in zip(pixels_BSS3, images, strict=True):
            if isinstance(image.picture, DecodedImage):
                pixels_SS3[:] = image.picture.pixels_SS3
        return pixels_BSS3

    def _rows(self, images: Sequence[ReadImage], predicted: ModelOutput) -> pa.RecordBatch:
        pictures = [None if isinstance(image.picture, ImageError) else image.picture for image in images]
        errors = [image.picture if isinstance(image.picture, ImageError) else None for image in images]
        captured = [picture and picture.captured_at for picture in pictures]
        # labels are assigned by the scores that the row holds: a reader can do it again
        scores_BL = round_scores(calibrate(predicted.scores_BL, self.info.calibration))
        annotated_B = np.array([error is None for error in errors])
        labels, label_scores = assign(scores_BL, self.info.vocabulary, self._limits_L, self.assignment.top, annotated_B)
        failed = pa.array(~annotated_B)
        # by what the row holds, too
        embedding_BD = round_embedding(predicted.embedding_BD)
        facts: dict[str, list[Any]] = {
            "path": [image.item.path for image in images],
            "root": [image.item.root for image in images],
            "link_target": [image.link_target for image in images],
            "sha256": [image.sha256 for image in images],
            "bytes": [image.bytes for image in images],
            "mtime": [image.mtime for image in images],
            "captured_at": [each and each.time for each in captured],
            "captured_at_offset": [each and each.offset_minutes for each in captured],
            "width": [picture and picture.width for picture in pictures],
            "height": [picture and picture.height for picture in pictures],
            "phash": [image.phash for image in images],
            "status": ["failed" if error else "ok" for error in errors],
            "error_type": [error.kind if error else None for error in errors],
            "error_message": [str(error) if error else None for error in errors],
            "unfamiliar": self._unfamiliar(embedding_BD, errors),
            "model_id": [self.info.model_id] * len(images),
        }
        made = {"labels": labels, "label_scores": label_scores}
        for name, vectors in {"scores": scores_BL, "embedding": embedding_BD}.items():
            made[name] = pc.if_else(failed, pa.scalar(None, self.schema.field(name).type), fixed_size_list(vectors))
        made |= {name: pa.array(values, self.schema.field(name).type) for name, values in facts.items()}
        return pa.RecordBatch.from_arrays([made[name] for name in self.schema.names], schema=self.schema)

    def _unfamiliar(self, embedding_BD: NDArray[np.float32], errors: Sequence[ImageError | None]) -> list[bool | None]:
        """Return for each image whether it is unlike those of training; None where it failed, or nobody can tell."""
        if self.familiarity is None:
            return [None] * len(errors)
        unfamiliar: list[bool] = self.familiarity.unfamiliar(embedding_BD).tolist()
        return [None if error else each for error, each in zip(errors, unfamiliar, strict=True)]
