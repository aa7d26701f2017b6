"""One photograph -> its embedding, with the model of an index: what `aaam-pipe similar` asks for.

Shapes: D embedding.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.annotate import backends, inputs
from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.annotate.options import BackendName
from aaam_pipeline.annotate.reader import read
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.models.export.manifest import is_export


class Embedder:
    """Embeds photographs; the model is loaded for the first of them."""

    def __init__(self, model: Path, device: str, model_id: str | None = None) -> None:
        """`model_id`: the id that is wanted, where the model can be run with more than one (`...-int8`)."""
        self._model, self._device, self._model_id = model, device, model_id

    def __call__(self, photo: Path) -> tuple[str, NDArray[np.float32]]:
        """Return the model's id and the embedding (D,) of a photograph.

        Raises:
            UsageError: the photograph cannot be read.
        """
        photo = photo.absolute()
        image = read(inputs.local_item(photo, photo.parent), self._backend.info.preprocess.size)
        if isinstance(image.picture, ImageError):
            raise UsageError(f"{path_text(photo)}: {image.picture}")
        predicted = self._backend.start(image.picture.pixels_SS3[None])()
        return self._backend.info.model_id, predicted.embedding_BD[0]

    @cached_property
    def _backend(self) -> Backend:
        # torch first: for one image, converting a bundle for OpenVINO takes longer than it saves
        names: tuple[BackendName, ...] = ("auto",) if is_export(self._model) else ("torch", "auto", "torch-bf16")
        model, device = self._model, self._device
        fitting = (name for name in names if backends.model_info(name, model, device).model_id == self._model_id)
        return backends.create(next(fitting, names[0]), model, device)
