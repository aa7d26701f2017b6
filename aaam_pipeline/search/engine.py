"""An open index: keyword queries from DuckDB's score columns, similar images from FAISS.

Shapes: D embedding.

The score of a query is defined in `core.ranking`, and ties go by path: top 5 is always the beginning of top 15.
"""

import os
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.formats import ranking
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.search import parser, ranker, similar
from aaam_pipeline.search import query as queries
from aaam_pipeline.search.columns import Columns
from aaam_pipeline.search.hits import Explanation, Hit, Term
from aaam_pipeline.search.photos import Embed, look_up
from aaam_pipeline.search.query import Node
from aaam_pipeline.search.similar import Ranked
from aaam_pipeline.search.thesaurus import Resolver, Words

if TYPE_CHECKING:
    from aaam_pipeline.index.vectors import Vectors

Photo = str | os.PathLike[str] | NDArray[Any]
"""A photograph by its path or URL, or an embedding (D,)."""
FEW = 100
"""Hits whose facts are asked for by a list of ids."""


class Index:
    """An index opened for reading; several processes may read one, also while it is rebuilt."""

    def __init__(
        self, folder: Path, embed: Embed | None = None, words: Words | None = None, *, use_gpu: bool = False
    ) -> None:
        """Open the index in `folder`; `embed` serves `similar` with photographs that are not in it.

        `words`: synonyms and parents, in place of those that are shipped; `use_gpu`: compare vectors on the GPUs, if
        there are any and FAISS was built for them: worth the copying only for many searches.

        Raises:
            UsageError: `folder` is no index.
            IntegrityError: it is damaged.
        """
        self.folder = folder
        self.manifest = manifests.read(folder)
        self.vocabulary = Vocabulary(self.manifest.vocabulary)
        self.embed = embed
        self._words = words
        self._use_gpu = use_gpu
        self._vectors: Vectors | None = None
        # held open, so that vectors first needed after a rebuild are still those of this index
        self._vectors_file = (folder / manifests.VECTORS).open("rb")
        # attached to a database of its own: connecting to the file would share one with an older reader in this process
        self._database = duckdb.connect(":memory:")
        path = str(folder / manifests.SCORES)
        try:
            self._database.execute("ATTACH '{}' AS index (READ_ONLY)".format(path.replace("'", "''")))
            self._database.execute("USE index")
            # a thread more has to be woken for the facts of 20 images, a fifth of the time that they take
            self._database.execute("SET threads = 1")
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

    def labels(self, text: str | parser.Query) -> list[str]:
        """Return the labels that a query names, as its hits' `label_scores` have them; raises what `query` raises."""
        return self._names(queries.labels(self._understood(text).node))

    def query(self, text: str | parser.Query, top: int = 20) -> list[Hit]:
        """Return the `top` best images for a query (docs/search.md has the language), best first.

        Raises:
            UsageError, UnknownLabelError: the query cannot be understood.
            IntegrityError: the index is damaged.
        """
        _check_top(top)
        return self._hits(self.ranked(self._understood(text).node, top))

    def explain(self, text: str | parser.Query, top: int = 20) -> list[Explanation]:
        """Return what `query` returns, each hit with the terms of its score.

        Raises:
            UsageError, UnknownLabelError, IntegrityError: as `query`.
        """
        _check_top(top)
        node, operands = self._understood(text).node, self._operands
        ranked = self.ranked(node, top)
        ids = np.array([each.id for each in ranked], np.int64)
        factors = node.items if isinstance(node, queries.All) else (node,)
        scores = [ranker.numbers_of(item, operands, ids) / ranking.whole(ranker.degree(item)) for item in factors]

        def terms(row: int, each: Ranked) -> list[Term]:
            return [
                Term(
                    queries.text(item, self.vocabulary),
                    float(score[row]),
                    {name: each.label_scores[name] for name in self._names(queries.labels(item))},
                )
                for item, score in zip(factors, scores, strict=True)
            ]

        hits = self._hits(ranked)
        return [Explanation(hit, terms(row, each)) for row, (each, hit) in enumerate(zip(ranked, hits, strict=True))]

    def similar(
        self,
        photos: Photo | Sequence[Photo],
        top: int = 20,
        *,
        unlike: Photo | Sequence[Photo] = (),
        query: str | parser.Query | None = None,
    ) -> list[Hit]:
        """Return the `top` images most like photographs or embeddings (D,), and unlike others, by cosine.

        With a query, images that fit it, by the product of cosine and query score; `search.similar` has both. A
        photograph that is in the index is not found as its own likeness.

        Raises:
            UsageError: a photograph is not in the index and cannot be embedded, a vector is not (D,), or the query
                cannot be understood.
            IntegrityError: the index is damaged, or the model at hand is not the one it was built with.
        """
        _check_top(top)
        # first: what is wrong with a query is known before a model is loaded
        node = None if query is None else self._understood(query).node
        sought, shunned = ([look_up(photo, self) for photo in _several(each)] for each in (photos, unlike))
        if not sought:
            raise UsageError("name a photograph to be like")
        own = {id for id, _ in (*sought, *shunned) if id is not None}
        direction_D = similar.direction([vector_D for _, vector_D in sought], [vector_D for _, vector_D in shunned])
        if node is None:
            near = [Ranked(id, cosine, 0, {}) for id, cosine in similar.nearest(self, direction_D, top, own)]
            # by the facts that are read anyway: to look their places up would take twice the time of all the rest
            return sorted(self._hits(near), key=lambda hit: (-hit.score, hit.path, hit.root))[:top]
        return self._hits(similar.fitting(self, direction_D, node, top, own))

    def ranked(self, node: Node, top: int, among: Sequence[int] | None = None) -> list[Ranked]:
        """Return the best images of a query, of all or of those with the ids `among`, best first."""
        places_N, operands = self.columns.places, self._operands
        if among is None:
            ids, numbers = ranker.best(node, operands, places_N, top)
        else:
            ids, numbers = ranker.best_of(node, operands, places_N, top, np.asarray(among, np.int64))
        named = queries.labels(node)
        scores = (numbers / ranking.whole(ranker.degree(node))).tolist()
        codes = [operands.codes(label)[ids].tolist() for label in named]
        names, places = self._names(named), places_N[ids].tolist()

        def label_scores(row: int) -> dict[str, float]:
            return {name: code[row] / ranking.LEVELS for name, code in zip(names, codes, strict=True)}

        return [Ranked(id, scores[row], places[row], label_scores(row)) for row, id in enumerate(ids.tolist())]

    @cached_property
    def columns(self) -> Columns:
        """The score columns, in memory once they were asked for."""
        return Columns(self.select_columns, self.manifest.images)

    @property
    def _operands(self) -> ranker.Operands:
        # kept while a query is answered: what it needs is read once, even if that is more than may be kept for others
        return ranker.Operands(cache(self.columns.codes), cache(self.columns.holds))

    def _understood(self, text: str | parser.Query) -> parser.Query:
        return self.parse(text) if isinstance(text, str) else text

    def _names(self, ids: list[int]) -> list[str]:
        return [self.vocabulary.labels[id] for id in ids]

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
                use_gpu=self._use_gpu,
            )
        return self._vectors

    def _hits(self, ranked: Sequence[Ranked]) -> list[Hit]:
        """Return hits in the order given, with the images' facts."""
        ids = [each.id for each in ranked]
        # to plan a list takes DuckDB less time than a subquery, as long as it is short
        few = len(ids) <= FEW
        among = f"({', '.join(map(str, ids)) or 'NULL'})" if few else "(SELECT unnest(?))"
        statement = f"SELECT id, path, root, labels FROM images WHERE id IN {among}"
        rows = self.select(statement, None if few else [ids])
        known = {row[0]: row[1:] for row in rows}
        if len(known) != len(ids):
            raise IntegrityError(f"{self.folder} is damaged: scores without images; build the index again")
        both = ((each, *known[each.id]) for each in ranked)
        return [Hit(path, root, each.score, labels, each.label_scores) for each, path, root, labels in both]

    def select(self, statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT over the tables of `index.scores`.

        Raises:
            IntegrityError: the database is damaged.
        """
        return self._execute(statement, values).fetchall()

    def select_columns(self, statement: str, values: list[Any] | None = None) -> dict[str, NDArray[Any]]:
        """Return the columns of a SELECT that reads whole tables, by their names; raises what `select` raises."""
        self._execute(f"SET threads = {os.cpu_count() or 1}")
        try:
            return self._execute(statement, values).fetchnumpy()
        finally:
            self._execute("SET threads = 1")

    def _execute(self, statement: str, values: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        try:
            return self._database.execute(statement, values)
        except duckdb.Error as error:
            raise IntegrityError(f"{self.folder} is damaged: {str(error).splitlines()[0]}") from None


def open(
    folder: "str | os.PathLike[str]", embed: Embed | None = None, words: Words | None = None, *, use_gpu: bool = False
) -> Index:
    """Open an index for queries; see `Index`.

    An index that is replaced while its files are being opened is opened again: its manifest, scores and vectors are
    always of one build.
    """
    place = Path(folder)
    while True:
        before = _build_of(place)
        try:
            index = Index(place, embed, words, use_gpu=use_gpu)
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


def _several(photos: Photo | Sequence[Photo]) -> Sequence[Photo]:
    return [photos] if isinstance(photos, str | os.PathLike | np.ndarray) else photos


def _check_top(top: int) -> None:
    if not 1 <= top < 2**31:
        raise UsageError(f"top must be at least 1 and below 2 billion, not {top}")
