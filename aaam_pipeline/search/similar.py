"""Images like photographs, unlike others, and fitting a query, best first.

Shapes: D embedding.

One direction stands for all photographs (Rocchio 1971): the sum of the unit vectors of those that hits shall be like,
as a unit vector, less `UNLIKE_WEIGHT` times that of those that they shall be unlike. An image's score is its cosine
with that direction; with a query it is the product of that cosine and the query's score, and only hits of
the query whose cosine is above 0 are hits.

The vector of a photograph is an array as it is, or comes from the index, or from the model it was built with.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import absolute, path_text, real_path
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.text import nfc
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.search.ranker import RankedImage
from aaam_pipeline.search.reader import IndexReader

if TYPE_CHECKING:
    from aaam_pipeline.index.vectors import Vectors

UNLIKE_WEIGHT = 0.5
NAMESAKES = 3
DEPTH = 1000

Rank = Callable[[int, Sequence[int] | None], list[RankedImage]]
"""Returns the best images of a query, at most so many, of all or of those with the ids given."""
Photo = str | os.PathLike[str] | NDArray[Any]
"""A photograph by its path or URL, or an embedding (D,)."""
Embed = Callable[[Path], tuple[str, NDArray[np.float32]]]
"""Turns a photograph into (model id, embedding (D,)): serves photographs that an index does not hold."""


def id_and_vector(photo: Photo, index: IndexReader, embed: Embed | None) -> tuple[int | None, NDArray[np.floating]]:
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
    id = id_of(location, index)
    return id, _embedding(location, index, embed) if id is None else index.vectors.get(id)


def id_of(location: str, index: IndexReader) -> int | None:
    """Return the id of the image with a path or URL; None where the index does not hold it."""
    is_url, found = "://" in location, index.select("SELECT DISTINCT root FROM images")
    roots = {root: located(root, index.folder) for (root,) in found if ("://" in root) == is_url}
    if is_url:
        return _id_below(location, roots, index)
    photo = Path(location)
    named = _id_below(path_text(absolute(photo)), roots, index)
    if named is not None or not photo.exists():
        return named
    # links may lead to the photograph, or to the folder that was annotated
    folders = {root: path_text(real_path(Path(folder)).resolve()) for root, folder in roots.items()}
    return _id_below(path_text(photo.resolve()), folders, index)


def namesakes(location: str, index: IndexReader) -> list[str]:
    """Return paths or URLs of at most `NAMESAKES` images whose name is the last part of a path or URL."""
    name = location.rsplit("/", 1)[-1]
    rows = name and index.select(
        "SELECT root, path FROM images WHERE path = $1 OR ends_with(path, '/' || $1) ORDER BY path, root LIMIT $2",
        [name, NAMESAKES],
    )
    return [f"{located(root, index.folder).rstrip('/')}/{path}" for root, path in rows or ()]


def _id_below(path: str, folders: dict[str, str], index: IndexReader) -> int | None:
    """Return the id of the image with an absolute path or a URL; `folders`: that of each root.

    A name that is written in another Unicode form is taken where none is written like it.
    """
    for form, column in ((str, "path"), (nfc, "nfc_normalize(path)")):
        bases = {root: f"{form(folder).rstrip('/')}/" for root, folder in folders.items()}
        paths = {root: form(path).removeprefix(base) for root, base in bases.items() if form(path).startswith(base)}
        rows = paths and index.select(
            f"SELECT id FROM images WHERE (root, {column}) IN (SELECT unnest($1), unnest($2)) "
            "ORDER BY ends_with($3, path) DESC, id",
            [list(paths), list(paths.values()), path],
        )
        if rows:
            return int(rows[0][0])
    return None


def _embedding(photo: str, index: IndexReader, embed: Embed | None) -> NDArray[np.float32]:
    if photo and Path(photo).is_dir():
        raise UsageError(
            f"{path_text(photo)} is a folder; name photographs, such as {path_text(photo).rstrip('/')}/*.jpg"
        )
    if not Path(photo).is_file():
        meant = " or ".join(map(path_text, namesakes(photo, index)))
        hint = f"; did you mean {meant}?" if meant else ""
        raise UsageError(f"no photograph {path_text(photo)}, neither as a file nor in the index {index.folder}{hint}")
    if embed is None:
        raise UsageError(f"{path_text(photo)} is not in the index {index.folder}, and no model is at hand to embed it")
    model_id, vector_D = embed(Path(photo))
    if embedding_of(model_id) != embedding_of(index.manifest.model_id):
        raise IntegrityError(f"the index {index.folder} was built with {index.manifest.model_id}, not {model_id}")
    return vector_D


def direction(like: Sequence[NDArray[np.floating]], unlike: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Return the unit vector (D,) that stands for photographs to be like, and others to be unlike, each (D,)."""
    direction_D = _unit(np.sum([_unit(each) for each in like], axis=0))
    if unlike:
        direction_D = _unit(direction_D - UNLIKE_WEIGHT * _unit(np.sum([_unit(each) for each in unlike], axis=0)))
    return direction_D.astype(np.float32)


def nearest(vectors: "Vectors", direction_D: NDArray[np.float32], top: int, own: set[int]) -> list[RankedImage]:
    """Return the `top` images nearest to a direction, without those of `own`, by id; path ranks are not filled in.

    They are more than `top` where others are as near as the last.
    """
    found = sorted(each for each in vectors.nearest(direction_D, top + len(own)) if each[0] not in own)
    return [RankedImage(id, cosine, 0, {}) for id, cosine in found]


def fitting(
    vectors: "Vectors", direction_D: NDArray[np.float32], rank: Rank, top: int, own: set[int]
) -> list[RankedImage]:
    """Return the `top` images by the product of cosine and query score, without those of `own`.

    The threshold algorithm (Fagin, Lotem and Naor 2003): the nearest images and those that fit the query best are
    looked at, ever deeper, until an image in neither list could not be among the best.
    """
    depth = max(DEPTH, 4 * top)
    while True:
        near = vectors.nearest(direction_D, depth, exact=True)
        fits = rank(depth, None)
        # of an image in neither list, the score is at most this
        bound = max(near[-1][1], 0.0) * fits[-1].score if fits else 0.0
        everything = len(fits) < depth or len(near) < depth
        known = {image.id for image in fits}
        fits += rank(depth, [id for id, _ in near if id not in known])
        fits = [image for image in fits if image.id not in own]
        cosines = vectors.cosines([image.id for image in fits], direction_D)
        both = [image._replace(score=image.score * float(cosine)) for image, cosine in zip(fits, cosines, strict=True)]
        best = sorted((image for image in both if image.score > 0), key=lambda image: (-image.score, image.path_rank))
        best = best[:top]
        if everything or bound == 0 or (len(best) == top and best[-1].score > bound):
            return best
        depth *= 8


def _unit(vector_D: NDArray[np.floating]) -> NDArray[np.float64]:
    wide_D = np.asarray(vector_D, dtype=np.float64)
    unit_D: NDArray[np.float64] = wide_D / max(float(np.linalg.norm(wide_D)), 1e-12)
    return unit_D
