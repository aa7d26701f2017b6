"""Where the vector of a photograph comes from: an array as it is, the index, or the model it was built with.

Shapes: D embedding.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import absolute, path_text, real_path
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.search.reader import IndexReader

Embed = Callable[[Path], tuple[str, NDArray[np.float32]]]
"""Turns a photograph into (model id, embedding (D,)): serves photographs that an index does not hold."""


def id_and_vector(
    photo: "str | os.PathLike[str] | NDArray[Any]", index: IndexReader, embed: Embed | None
) -> tuple[int | None, NDArray[np.floating]]:
    """Return a photograph's id, None where the index does not hold it, and its vector (D,).

    Raises:
        UsageError: it is not in the index and cannot be embedded, or the vector is not (D,).
        IntegrityError: the model at hand is not the one that the index was built with.
    """
    if isinstance(photo, np.ndarray):
        if photo.shape != (index.manifest.embedding_dim,):
            raise UsageError(f"a vector must have shape ({index.manifest.embedding_dim},), not {photo.shape}")
        if not np.isfinite(photo).all():
            raise UsageError("a vector must hold finite numbers")
        return None, photo
    location = os.fspath(photo)
    id = _id_of_url(location, index) if "://" in location else _id_of_file(Path(location), index)
    return id, _embedding(location, index, embed) if id is None else index.vectors.get(id)


def _id_of_file(photo: Path, index: IndexReader) -> int | None:
    roots = [root for (root,) in index.select("SELECT DISTINCT root FROM images") if "://" not in root]
    named = _id_below(path_text(absolute(photo)), dict(zip(roots, roots, strict=True)), index)
    if named is not None or not photo.exists():
        return named
    # links may lead to the photograph, or to the folder that was annotated
    folders = {root: path_text(real_path(Path(root)).resolve()) for root in roots}
    return _id_below(path_text(photo.resolve()), folders, index)


def _id_below(path: str, folders: dict[str, str], index: IndexReader) -> int | None:
    """Return the id of the image with an absolute path; `folders`: that of each root."""
    bases = {root: f"{folder.rstrip('/')}/" for root, folder in folders.items()}
    paths = {root: path.removeprefix(base) for root, base in bases.items() if path.startswith(base)}
    if not paths:
        return None
    rows = index.select(
        "SELECT id FROM images WHERE (root, path) IN (SELECT unnest(?), unnest(?)) ORDER BY id",
        [list(paths), list(paths.values())],
    )
    return rows[0][0] if rows else None


def _id_of_url(url: str, index: IndexReader) -> int | None:
    rows = index.select("SELECT id FROM images WHERE rtrim(root, '/') || '/' || path = ? ORDER BY id", [url])
    return rows[0][0] if rows else None


def _embedding(photo: str, index: IndexReader, embed: Embed | None) -> NDArray[np.float32]:
    if not Path(photo).is_file():
        raise UsageError(f"no photograph {path_text(photo)}, neither as a file nor in the index {index.folder}")
    if embed is None:
        raise UsageError(f"{path_text(photo)} is not in the index {index.folder}, and no model is at hand to embed it")
    model_id, vector_D = embed(Path(photo))
    if model_id != index.manifest.model_id:
        raise IntegrityError(f"the index {index.folder} was built with {index.manifest.model_id}, not {model_id}")
    return vector_D
