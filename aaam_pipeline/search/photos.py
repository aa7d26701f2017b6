"""Where the vector of a photograph comes from: an array as it is, the index, or the model it was built with.

Shapes: D embedding.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import absolute, path_text, real_path
from aaam_pipeline.core.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from aaam_pipeline.search.engine import Index

Embed = Callable[[Path], tuple[str, NDArray[np.float32]]]
"""Turns a photograph into (model id, embedding (D,)): how an index gets at photographs it does not hold."""


def look_up(photo: "str | os.PathLike[str] | NDArray[Any]", index: "Index") -> tuple[int | None, NDArray[np.floating]]:
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
    place = os.fspath(photo)
    own = _of_url(place, index) if "://" in place else _of_file(Path(place), index)
    return own, _embedded(place, index) if own is None else index.vectors.get(own)


def _of_file(photo: Path, index: "Index") -> int | None:
    roots = [root for (root,) in index.select("SELECT DISTINCT root FROM images") if "://" not in root]
    named = _below(path_text(absolute(photo)), dict(zip(roots, roots, strict=True)), index)
    if named is not None or not photo.exists():
        return named
    # links may lead to the photograph, or to the folder that was annotated
    folders = {root: path_text(real_path(Path(root)).resolve()) for root in roots}
    return _below(path_text(photo.resolve()), folders, index)


def _below(place: str, folders: dict[str, str], index: "Index") -> int | None:
    """Return the id of the image at a place; `folders`: where the roots lie."""
    bases = {root: f"{folder.rstrip('/')}/" for root, folder in folders.items()}
    paths = {root: place.removeprefix(base) for root, base in bases.items() if place.startswith(base)}
    if not paths:
        return None
    rows = index.select(
        "SELECT id FROM images WHERE (root, path) IN (SELECT unnest(?), unnest(?)) ORDER BY id",
        [list(paths), list(paths.values())],
    )
    return rows[0][0] if rows else None


def _of_url(url: str, index: "Index") -> int | None:
    rows = index.select("SELECT id FROM images WHERE rtrim(root, '/') || '/' || path = ? ORDER BY id", [url])
    return rows[0][0] if rows else None


def _embedded(photo: str, index: "Index") -> NDArray[np.float32]:
    if not Path(photo).is_file():
        raise UsageError(f"no photograph {path_text(photo)}, neither as a file nor in the index {index.folder}")
    if index.embed is None:
        raise UsageError(f"{path_text(photo)} is not in the index {index.folder}, and no model is at hand to embed it")
    model_id, vector_D = index.embed(Path(photo))
    if model_id != index.manifest.model_id:
        raise IntegrityError(f"the index {index.folder} was built with {index.manifest.model_id}, not {model_id}")
    return vector_D
