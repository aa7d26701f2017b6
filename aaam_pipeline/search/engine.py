"""An open index: keyword queries from score columns in memory, similar images from FAISS.

Shapes: D embedding.

The score of a query is defined in `formats.ranking`, that of decided images in `decided`; ties go by path: top 5 is
always the beginning of top 15.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.project import DECISIONS
from aaam_pipeline.formats import words
from aaam_pipeline.formats.decisions import Decisions, Verdict
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.search import decided, parser, ranker, similar
from aaam_pipeline.search import query as queries
from aaam_pipeline.search.decided import DecidedValues
from aaam_pipeline.search.hits import Explanation, Hit, Term
from aaam_pipeline.search.knowledge import Knowledge, KnowledgeKeeper
from aaam_pipeline.search.label_counts import LabelCount, decided_counts
from aaam_pipeline.search.overlay import Overlay
from aaam_pipeline.search.pages import Found, check_page, page
from aaam_pipeline.search.query import Node
from aaam_pipeline.search.ranker import RankedImage, ScoreColumns
from aaam_pipeline.search.reader import IndexReader
from aaam_pipeline.search.similar import Embed, Photo, id_and_vector
from aaam_pipeline.search.thesaurus import Thesaurus

SHORT_LIST = 100
"""Hits whose metadata is selected by a list of ids in the statement."""


class Index(IndexReader):
    """An index opened for queries: any number of threads and processes may use one, also while it is rebuilt."""

    def __init__(
        self,
        folder: Path,
        embed: Embed | None = None,
        thesaurus: Thesaurus | None = None,
        *,
        use_gpu: bool = False,
        decisions: str | os.PathLike[str] | bool = True,
    ) -> None:
        """Open the index in `folder`; `embed` serves `similar` with photographs that are not in it.

        `thesaurus`: synonyms and parents, instead of those that are shipped; `use_gpu`: compare vectors on the GPUs, if
        there are any and FAISS was built for them: worth the copying only for many searches; `decisions`: the ledger of
        them, True: `decisions.jsonl` in the folder that the index lies in, False: none.

        Raises:
            UsageError: `folder` is no index.
            IntegrityError: it is damaged.
        """
        super().__init__(folder, use_gpu=use_gpu)
        images = self.manifest.images
        self.weak = self.manifest.weak
        """Labels that the model knows badly, each with why."""
        beside = folder.absolute().parent / DECISIONS
        ledger = beside if decisions is True else None if decisions is False else Path(decisions)
        self._knowledge = KnowledgeKeeper(
            self.manifest.labels,
            thesaurus,
            ledger,
            partial(Overlay, select=self.select_columns, images=images),
        )
        self.columns = ScoreColumns(self.select_columns, images, self.taught.codes_of)
        self.embed = embed
        self._embed_lock = Lock()

    def after_fork(self) -> None:
        """Make this usable in a child that was just forked."""
        super().after_fork()
        self._embed_lock = Lock()
        self.columns.after_fork()
        self._knowledge.after_fork()

    @property
    def vocabulary(self) -> Vocabulary:
        """The labels of the model, then words that no model knows and that somebody decided: all that can be asked."""
        return self._knowledge.current().vocabulary

    @property
    def decisions(self) -> Decisions:
        """The decisions that hold at this moment."""
        return self._knowledge.current().overlay.decisions

    def decided(self, sha256: str | None) -> dict[str, Verdict]:
        """Return what is decided of a content, by label as the model spells it."""
        return self._knowledge.current().of_content(sha256)

    def parse(self, text: str) -> parser.ParsedQuery:
        """Return what a query means in this index, with notes on words that were taken for others or are known badly.

        Raises:
            UsageError, UnknownLabelError: it cannot be understood.
        """
        known = self._knowledge.current()
        parsed = parser.parse(text, known.resolver)
        named = [known.vocabulary.labels[label] for label in queries.labels(parsed.node)]
        return parsed._replace(notes=[*parsed.notes, *known.notes(parsed.node), *words.notes(named, self.weak)])

    def labels(self, text: str | parser.ParsedQuery) -> list[str]:
        """Return the labels that a query names, as its hits' `label_scores` have them; raises what `query` raises."""
        known = self._knowledge.current()
        return known.names(self._node(text, known))

    def label_counts(self) -> dict[str, LabelCount]:
        """Return of how many images each label holds, with decisions: of those of the model, then of decided words.

        Raises:
            IntegrityError: the index is damaged.
        """
        return decided_counts(self._knowledge.current(), self)

    def query(
        self, text: str | parser.ParsedQuery, top: int = 20, *, offset: int = 0, existing: bool = False
    ) -> list[Hit]:
        """Return the `top` best images for a query (docs/search.md has the language), best first.

        `offset`: leave out so many of the best, which are those of the pages before; `existing`: leave out images whose
        files are not there any more, and return others instead.

        Raises:
            UsageError, UnknownLabelError: the query cannot be understood.
            IntegrityError: the index is damaged.
        """
        check_page(top, offset)
        known = self._knowledge.current()
        rank = partial(self._ranked, self._node(text, known), known)
        return [hit for _, hit in page(partial(self._best, known, rank), top, offset, existing)]

    def explain(
        self, text: str | parser.ParsedQuery, top: int = 20, *, offset: int = 0, existing: bool = False
    ) -> list[Explanation]:
        """Return what `query` returns, each hit with the terms of its score.

        Raises:
            UsageError, UnknownLabelError, IntegrityError: as `query`.
        """
        check_page(top, offset)
        known = self._knowledge.current()
        node, values = self._node(text, known), self._values(known)
        pairs = page(partial(self._best, known, partial(self._ranked, node, known)), top, offset, existing)
        ids = np.array([image.id for image, _ in pairs], np.int64)
        explanations = [Explanation(hit, []) for _, hit in pairs]
        for factor in node.items if isinstance(node, queries.And) else (node,):
            written, names = queries.text(factor, known.vocabulary), known.names(factor)
            scores = ranker.scores(queries.canonical(factor), values, ids)
            for (hit, terms), score in zip(explanations, scores.tolist(), strict=True):
                terms.append(Term(written, score, {name: hit.label_scores[name] for name in names}))
        return explanations

    def similar(
        self,
        photos: Photo | Sequence[Photo],
        top: int = 20,
        *,
        unlike: Photo | Sequence[Photo] = (),
        query: str | parser.ParsedQuery | None = None,
        offset: int = 0,
        existing: bool = False,
    ) -> list[Hit]:
        """Return the `top` images most like photographs or embeddings (D,), and unlike others, by cosine.

        With a query, images that fit it, by the product of cosine and query score; `search.similar` has both. A
        photograph that is in the index is not among its own hits. `offset`, `existing`: as `query`.

        Raises:
            UsageError: a photograph is not in the index and cannot be embedded, a vector is not (D,), or the query
                cannot be understood.
            IntegrityError: the index is damaged, or the model at hand is not the one it was built with.
        """
        check_page(top, offset)
        known = self._knowledge.current()
        # first: a query is checked before a model is loaded
        node = None if query is None else self._node(query, known)
        liked, unliked = (
            [id_and_vector(photo, self, self.embed and self._embedded) for photo in _several(each)]
            for each in (photos, unlike)
        )
        if not liked:
            raise UsageError("name a photograph to be like")
        own = {id for id, _ in (*liked, *unliked) if id is not None}
        direction_D = similar.direction([vector_D for _, vector_D in liked], [vector_D for _, vector_D in unliked])
        if node is None:
            find = partial(self._nearest, known, direction_D, own)
        else:
            fitting = partial(similar.fitting, self.vectors, direction_D, partial(self._ranked, node, known), own=own)
            find = partial(self._best, known, fitting)
        return [hit for _, hit in page(find, top, offset, existing)]

    def _best(self, known: Knowledge, rank: Callable[[int], list[RankedImage]], first: int, last: int) -> list[Found]:
        """Return the images from rank `first` to `last` of those that `rank` returns the best of."""
        ranked = rank(last)[first:]
        return list(zip(ranked, self._hits(ranked, known), strict=True))

    def _nearest(
        self, known: Knowledge, direction_D: NDArray[np.float32], own: set[int], first: int, last: int
    ) -> list[Found]:
        near = similar.nearest(self.vectors, direction_D, last, own)
        # by the metadata that is read anyway: to look up their path ranks would take twice the time of all the rest
        found = zip(near, self._hits(near, known), strict=True)
        return sorted(found, key=lambda pair: (-pair[1].score, pair[1].path, pair[1].root))[first:last]

    def _embedded(self, photo: Path) -> tuple[str, NDArray[np.float32]]:
        # a network answers one at a time
        with self._embed_lock:
            assert self.embed
            return self.embed(photo)

    def _values(self, known: Knowledge) -> DecidedValues:
        return DecidedValues(self.columns.leaf_values(), known.decided_images, known.meaning)

    def _ranked(self, node: Node, known: Knowledge, top: int, among: Sequence[int] | None = None) -> list[RankedImage]:
        """Return the best images of a query, of all or of those with the ids `among`, best first."""
        path_rank_N, values = self.columns.path_ranks, self._values(known)
        rows = None if among is None else np.asarray(among, np.int64)
        ids, scores = decided.best(node, values, path_rank_N, top, rows)
        columns = {known.vocabulary.labels[label]: values.scores(label, ids).tolist() for label in known.labels(node)}
        images = zip(ids.tolist(), scores.tolist(), path_rank_N[ids].tolist(), strict=True)
        return [
            RankedImage(id, score, path_rank, {name: column[row] for name, column in columns.items()})
            for row, (id, score, path_rank) in enumerate(images)
        ]

    def _node(self, text: str | parser.ParsedQuery, known: Knowledge) -> Node:
        return (parser.parse(text, known.resolver) if isinstance(text, str) else text).node

    def _hits(self, ranked: Sequence[RankedImage], known: Knowledge) -> list[Hit]:
        """Return hits in the order given, with the images' metadata."""
        ids = [image.id for image in ranked]
        # to plan a list takes DuckDB less time than a subquery, as long as it is short
        short = len(ids) <= SHORT_LIST
        among = f"({', '.join(map(str, ids)) or 'NULL'})" if short else "(SELECT unnest(?))"
        statement = f"SELECT id, path, root, labels, unfamiliar FROM images WHERE id IN {among}"
        found = {row[0]: row[1:] for row in self.select(statement, None if short else [ids])}
        if len(found) != len(ids):
            raise IntegrityError(f"{self.folder} is damaged: scores without images; build the index again")
        verdicts, taught = known.verdicts(ids), self.taught.assigned(ids)
        rows = ((image, *found[image.id]) for image in ranked)
        return [
            Hit(path, located(root, self.folder), image.score, labels + own, image.label_scores, unfamiliar).decided_as(
                said
            )
            for (image, path, root, labels, unfamiliar), own, said in zip(rows, taught, verdicts, strict=True)
        ]


def open(
    folder: "str | os.PathLike[str]",
    embed: Embed | None = None,
    thesaurus: Thesaurus | None = None,
    *,
    use_gpu: bool = False,
    decisions: "str | os.PathLike[str] | bool" = True,
) -> Index:
    """Open an index for queries; see `Index`.

    An index that is replaced while its files are being opened is opened again: its manifest, scores and vectors are
    always of one build.
    """
    path = Path(folder)
    while True:
        before = _build_of(path)
        try:
            index = Index(path, embed, thesaurus, use_gpu=use_gpu, decisions=decisions)
        except AaamError:
            if _build_of(path) == before:
                raise
        else:
            if _build_of(path) == before:
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
