"""An open index: keyword queries from DuckDB's score columns, similar images from FAISS.

Shapes: D embedding.

The score of a query is that of `search.planner`, of the probabilities as the index stores them (`core.ranking`); ties
go by path. Top 5 is therefore always the beginning of top 15.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core import ranking
from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.core.words import Words
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.search import planner
from aaam_pipeline.search.query import Query, parse

if TYPE_CHECKING:
    from aaam_pipeline.index.vectors import Vectors

Embed = Callable[[Path], tuple[str, NDArray[np.float32]]]
"""Turns a photograph into (model id, embedding (D,)): how an index gets at photographs it does not hold."""


class Hit(NamedTuple):
    """One image found. `score`: of the query in [0, 1], or the cosine for similar images; `labels`: those assigned.

    `label_scores`: of the query's labels; `terms`: what each term of the query gives, if that was asked for.
    """

    path: str
    root: str
    score: float
    labels: list[str]
    label_scores: dict[str, float]
    terms: Mapping[str, float] = MappingProxyType({})

    @property
    def location(self) -> str:
        """Where the image lay when it was annotated: a path or a URL."""
        return f"{self.root.rstrip('/')}/{self.path}"

    @property
    def file(self) -> Path:
        """`location` as a path; for an image behind a URL, use that instead."""
        return Path(self.root) / self.path


class Index:
    """An index opened for reading; several processes may read one, also while it is rebuilt."""

    def __init__(self, folder: Path, embed: Embed | None = None, words: Words | None = None) -> None:
        """Open the index in `folder`; `embed` serves `similar` with photographs that are not in it.

        `words`: those that people use for labels; the shipped ones, unless others are given.

        Raises:
            UsageError: `folder` is no index.
            IntegrityError: it is damaged.
        """
        self.folder = folder
        self.manifest = manifests.read(folder)
        self.vocabulary = Vocabulary(self.manifest.vocabulary)
        self.words = words or Words.shipped()
        self._embed = embed
        self._vectors: Vectors | None = None
        # held open, so that vectors first needed after a rebuild are still those of this index
        self._vectors_file = (folder / manifests.VECTORS).open("rb")
        # attached to a database of its own: connecting to the file would share one with an older reader in this process
        self._database = duckdb.connect(":memory:")
        path = str(folder / manifests.SCORES)
        try:
            self._database.execute("ATTACH '{}' AS index (READ_ONLY)".format(path.replace("'", "''")))
            self._database.execute("USE index")
        except duckdb.Error as error:
            self.close()
            raise IntegrityError(f"{path} is damaged: {str(error).splitlines()[0]}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._database.close()
        self._vectors_file.close()

    def query(self, text: str, top: int = 20, explain: bool = False) -> list[Hit]:
        """Return the `top` best images for a query (see `search.query`), best first; `explain`: with `Hit.terms`.

        Raises:
            UsageError, QueryError, UnknownLabelError: the query cannot be understood.
            IntegrityError: the index is damaged.
        """
        asked = self.parse(text)
        _check_top(top)
        plan = planner.plan(asked, top)
        names = [self.vocabulary.labels[id] for id in plan.labels]
        scores = {
            row[0]: (
                row[1] / plan.top,
                dict(zip(names, [code / ranking.LEVELS for code in row[2:]], strict=True)),
            )
            for row in self._select(plan.sql, list(plan.values))
        }
        hits = self._hits(scores)
        if not explain:
            return hits
        sql, values, tops = planner.explain(asked, list(scores))
        given = {row[0]: row[1:] for row in self._select(sql, list(values))}
        texts = [text for text, _ in asked.terms]
        return [
            hit._replace(terms={text: value / top for text, value, top in zip(texts, given[id], tops, strict=True)})
            for id, hit in zip(scores, hits, strict=True)
        ]

    def parse(self, text: str) -> Query:
        """Understand a query with this index's labels and words.

        Raises:
            UsageError, QueryError, UnknownLabelError: as `search.query.parse`.
        """
        return parse(text, self.vocabulary, self.words)

    def similar(self, path_or_vector: "str | os.PathLike[str] | NDArray[Any]", top: int = 20) -> list[Hit]:
        """Return the `top` images most like a photograph or an embedding (D,), most like first, by cosine.

        A photograph that is in the index is not found as its own likeness.

        Raises:
            UsageError: the photograph is not in the index and cannot be embedded, or the vector is not (D,).
            IntegrityError: the index is damaged, or the model at hand is not the one it was built with.
        """
        _check_top(top)
        own: int | None = None
        if isinstance(path_or_vector, np.ndarray):
            vector_D = path_or_vector
            if vector_D.shape != (self.manifest.embedding_dim,):
                raise UsageError(f"a vector must have shape ({self.manifest.embedding_dim},), not {vector_D.shape}")
        else:
            photo = os.fspath(path_or_vector)
            own = self._find_url(photo) if "://" in photo else self._find(Path(photo))
            vector_D = self._embedded(photo) if own is None else self.vectors.get(own)
        found = self.vectors.nearest(vector_D, top + (own is not None))
        return self._hits({id: (cosine, {}) for id, cosine in found if id != own}, top)

    @property
    def vectors(self) -> "Vectors":
        """The FAISS half, opened when first needed."""
        if self._vectors is None:
            # faiss is a third of the time that a keyword query takes as a process
            from aaam_pipeline.index.vectors import Vectors

            self._vectors = Vectors(self._vectors_file, self.manifest.images, self.manifest.embedding_dim)
        return self._vectors

    def _find(self, photo: Path) -> int | None:
        place = absolute(photo)
        parents = [path_text(parent) for parent in place.parents]
        rows = self._select(
            "SELECT id, root, path FROM images WHERE root IN (SELECT unnest(?)) AND suffix(?, path)",
            [parents, path_text(place)],
        )
        return next((id for id, root, path in rows if str(Path(root, path)) == path_text(place)), None)

    def _find_url(self, url: str) -> int | None:
        rows = self._select("SELECT id FROM images WHERE rtrim(root, '/') || '/' || path = ? ORDER BY id", [url])
        return rows[0][0] if rows else None

    def _embedded(self, photo: str) -> NDArray[np.float32]:
        if not Path(photo).is_file():
            raise UsageError(f"no photograph {path_text(photo)}, neither as a file nor in the index {self.folder}")
        if self._embed is None:
            raise UsageError(
                f"{path_text(photo)} is not in the index {self.folder}, and no model is at hand to embed it"
            )
        model_id, vector_D = self._embed(Path(photo))
        if model_id != self.manifest.model_id:
            raise IntegrityError(f"the index {self.folder} was built with {self.manifest.model_id}, not {model_id}")
        return vector_D

    def _hits(self, scores: dict[int, tuple[float, dict[str, float]]], top: int | None = None) -> list[Hit]:
        """Return hits in the order of `scores` (id -> score, label scores) with the images' facts."""
        rows = self._select("SELECT id, path, root, labels FROM images WHERE id IN (SELECT unnest(?))", [list(scores)])
        facts = {row[0]: row[1:] for row in rows}
        if len(facts) != len(scores):
            raise IntegrityError(f"{self.folder} is damaged: scores without images; build the index again")
        hits = [
            Hit(facts[id][0], facts[id][1], score, facts[id][2], label_scores)
            for id, (score, label_scores) in scores.items()
        ]
        return hits[:top]

    def _select(self, statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except duckdb.Error as error:
            raise IntegrityError(f"{self.folder} is damaged: {str(error).splitlines()[0]}") from None


def open(folder: "str | os.PathLike[str]", embed: Embed | None = None, words: Words | None = None) -> Index:
    """Open an index for queries; see `Index`.

    An index that is replaced while its files are being opened is opened again: its manifest, scores and vectors are
    always of one build.
    """
    place = Path(folder)
    while True:
        before = _build_of(place)
        try:
            index = Index(place, embed, words)
        except AaamError:
            if _build_of(place) == before:
                raise
        else:
            if _build_of(place) == before:
                return index
            index.close()


def _build_of(folder: Path) -> tuple[int, int] | None:
    """Identify the build that lies in a folder at this moment; None where there is none."""
    try:
        status = (folder / "manifest.json").stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _check_top(top: int) -> None:
    if top < 1:
        raise UsageError(f"top must be at least 1, not {top}")
