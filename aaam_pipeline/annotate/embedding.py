"""One photograph -> its embedding, with the model of an index: what `aaam-pipe similar` asks for.

Shapes: D embedding.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.annotate import backends, sources
from aaam_pipeline.annotate.backends import BackendName
from aaam_pipeline.annotate.reader import read_one
from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.models.exported import is_export


def embed(model: Path, device: str, photo: Path, model_id: str | None = None) -> tuple[str, NDArray[np.float32]]:
    """Return the model's id and the embedding (D,) of one photograph.

    `model_id`: the id that is wanted, where the model can be run with more than one (`...-int8`).

    Raises:
        UsageError: the photograph cannot be read.
    """
    # torch first: for one image, converting a bundle for OpenVINO takes longer than it saves
    names: tuple[BackendName, ...] = ("auto",) if is_export(model) else ("torch", "auto", "torch-bf16")
    fitting = (name for name in names if backends.model_info(name, model, device).model_id == model_id)
    backend = backends.create(next(fitting, names[0]), model, device)
    image = read_one(sources.source(photo.absolute(), photo.absolute().parent), backend.info.preprocess)
    if isinstance(image.picture, ImageError):
        raise UsageError(f"{photo}: {image.picture}")
    return backend.info.model_id, backend.start(image.picture.pixels_SS3[None])().embedding_BD[0]
