"""An open index: keyword queries from DuckDB's score columns, similar images from FAISS.

Shapes: D embedding.

The score of a query is defined in `core.ranking`; ties go by `TIES`. Top 5 is therefore always the beginning of top 15.
"""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core import ranking
from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.core.words import Resolver, Words
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.search import parser, planner
from aaam_pipeline.search import query as queries

if TYPE_CHECKING:
    from aaam_pipeline.index.vectors import Vectors

Embed = Callable[[Path], tuple[str, NDArray[np.float32]]]
"""Turns a photograph into (model id, embedding (D,)): how an index gets at photographs it does not hold."""

TIES = "scores.place"
"""The column of the index that orders images of equal score: by path, then root."""


class Hit(NamedTuple):
    """One image found. `score`: of the query in [0, 1], or the cosine for similar images; `labels`: those assigned."""

    path: str
    root: str
    score: float
    labels: list[str]
    label_scores: dict[str, float]

    @property
    def location(self) -> str:
        """Where the image lay when it was annotated: a path or a URL."""
        return f"{self.root.rstrip('/')}/{self.path}"

    @property
    def file(self) -> Path:
        """`location` as a path; for an image behind a URL, use that instead."""
        return Path(self.root) / self.path


class Term(NamedTuple):
    """A factor of a hit's score: as a query, what it contributed in [0, 1], and its labels' scores."""

    query: str
    score: float
    label_scores: dict[str, float]


class Explanation(NamedTuple):
    """Why an image was found: the product of the terms' scores is the hit's. Filters chose it and contribute 1."""

    hit: Hit
    terms: list[Term]


class Index:
    """An index opened for reading; several processes may read one, also while it is rebuilt."""

    def __init__(self, folder: Path, embed: Embed | None = None, words: Words | None = None) -> None:
        """Open the index in `folder`; `embed` serves `similar` with photographs that are not in it.

        `words`: synonyms and parents, in place of those that are shipped.

        Raises:
            UsageError: `folder` is no index.
            IntegrityError: it is damaged.
        """
        self.folder = folder
        self.manifest = manifests.read(folder)
        self.vocabulary = Vocabulary(self.manifest.vocabulary)
        self._embed = embed
        self._words = words
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

    @cached_property
    def resolver(self) -> Resolver:
        """What words stand for in this index."""
        return Resolver(self.vocabulary, self._words)

    def parse(self, text: str) -> parser.Query:
        """Return what a query means in this index, with notes on words that were taken for others.

        Raises:
            UsageError, UnknownLabelError: it cannot be understood.
        """
        return parser.parse(text, self.resolver)

    def query(self, text: str | parser.Query, top: int = 20) -> list[Hit]:
        """Return the `top` best images for a query (docs/search.md has the language), best first.

        Raises:
            UsageError, UnknownLabelError: the query cannot be understood.
            IntegrityError: the index is damaged.
        """
        return self._hits(self._ranked(planner.plan(self._understood(text).node), top))

    def explain(self, text: str | parser.Query, top: int = 20) -> list[Explanation]:
        """Return what `query` returns, each hit with the terms of its score.

        Raises:
            UsageError, UnknownLabelError, IntegrityError: as `query`.
        """
        plan = planner.plan(self._understood(text).node)
        ranked = self._ranked(plan, top)
        scores = ", ".join(score for _, score, _ in plan.terms)
        rows = self._select(
            f"SELECT id, {scores} FROM {plan.source} WHERE id IN ({', '.join(map(str, ranked)) or 'NULL'})", plan.values
        )
        numbers = {row[0]: row[1:] for row in rows}

        def terms(id: int, hit: Hit) -> list[Term]:
            return [
                Term(
                    queries.text(node, self.vocabulary),
                    number / ranking.whole(degree),
                    {name: hit.label_scores[name] for name in self._names(queries.labels(node))},
                )
                for number, (node, _, degree) in zip(numbers[id], plan.terms, strict=True)
            ]

        return [Explanation(hit, terms(id, hit)) for id, hit in zip(ranked, self._hits(ranked), strict=True)]

    def _understood(self, text: str | parser.Query) -> parser.Query:
        return self.parse(text) if isinstance(text, str) else text

    def _ranked(self, plan: planner.Plan, top: int) -> dict[int, tuple[float, dict[str, float]]]:
        """Return the best images, best first: id -> score, score by label."""
        _check_top(top)
        codes = "".join(f", s{label}" for label in plan.labels)
        rows = self._select(
            f"SELECT id, {plan.score} AS score{codes} FROM {plan.source} WHERE {plan.condition} "
            f"ORDER BY score DESC, {TIES} LIMIT {int(top)}",
            plan.values,
        )
        names, whole = self._names(plan.labels), ranking.whole(plan.degree)
        return {
            row[0]: (row[1] / whole, dict(zip(names, [code / ranking.LEVELS for code in row[2:]], strict=True)))
            for row in rows
        }

    def _names(self, ids: list[int]) -> list[str]:
        return [self.vocabulary.labels[id] for id in ids]

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

            self._vectors = Vectors(
                self._vectors_file,
                self.manifest.images,
                self.manifest.embedding_dim,
                self.manifest.sha256[manifests.VECTORS],
            )
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
