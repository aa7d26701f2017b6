"""What an open index knows: the labels of its model, words that were decided beside them, and all decisions.

A ledger grows while an index is open. Whether it did is seen at every query, by its size and time.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decisions import Decisions, Verdict, label_key
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.search import query as queries
from aaam_pipeline.search.overlay import DecidedImages, Overlay
from aaam_pipeline.search.query import Node
from aaam_pipeline.search.thesaurus import LabelResolver, Thesaurus

log = logging.getLogger(__name__)
Stamp = tuple[int, int, int, int]


class Knowledge(NamedTuple):
    """What is known at a moment.

    `vocabulary`: the labels of the model, then the words that no model knows and that somebody decided; `resolver`:
    finds both; `model_resolver`: finds the former alone; `overlay`: the decisions.
    """

    vocabulary: Vocabulary
    resolver: LabelResolver
    model_resolver: LabelResolver
    overlay: Overlay

    def meaning(self, label: int) -> tuple[int, ...] | None:
        """Return the labels that a word which no model knows is searched as; None for a label of the model."""
        if label < len(self.model_resolver.vocabulary):
            return None
        return self.model_resolver.find(self.vocabulary.labels[label])

    def decided_images(self, label: int) -> DecidedImages:
        """Return which images a label was decided for, by its id."""
        return self.overlay.of_label(self.vocabulary.labels[label])

    def labels(self, node: Node) -> list[int]:
        """Return the labels of an expression by their ids, each once, and after a word what it is searched as."""
        named = [each for label in queries.labels(node) for each in (label, *(self.meaning(label) or ()))]
        return list(dict.fromkeys(named))

    def names(self, node: Node) -> list[str]:
        """Return the same as texts."""
        return [self.vocabulary.labels[label] for label in self.labels(node)]

    def notes(self, node: Node) -> list[str]:
        """Return a line for each word of an expression that no model knows."""
        return [
            self._note(label, means) for label in queries.labels(node) if (means := self.meaning(label)) is not None
        ]

    def _note(self, label: int, means: tuple[int, ...]) -> str:
        word, decided = self.vocabulary.labels[label], len(self.decided_images(label).yes)
        images = counted(decided, "image")
        if not means:
            return f"no model knows {word!r}: it holds for the {images} that it was decided for, and no other"
        names = "|".join(self.vocabulary.labels[each] for each in means)
        return f"{word!r} holds for the {images} that it was decided for; elsewhere it is searched as {names}"

    def verdicts(self, ids: Sequence[int]) -> list[dict[str, Verdict]]:
        """Return what is decided of images, by label as the model spells it."""
        return [self._spelled(each) for each in self.overlay.of_images(ids)]

    def of_content(self, sha256: str | None) -> dict[str, Verdict]:
        """Return what is decided of a content, by label as the model spells it."""
        return self._spelled(self.overlay.decisions.of_image(sha256)) if sha256 else {}

    def _spelled(self, verdicts: dict[str, Verdict]) -> dict[str, Verdict]:
        ids = {label: self.vocabulary.find(label) for label in verdicts}
        return {
            label if (id := ids[label]) is None else self.vocabulary.labels[id]: verdict
            for label, verdict in verdicts.items()
        }


class KnowledgeKeeper:
    """Takes what is new in a ledger, whenever it is asked for. Any number of threads may ask."""

    def __init__(
        self,
        labels: Sequence[str],
        thesaurus: Thesaurus | None,
        ledger: Path | None,
        overlaid: Callable[[Decisions], Overlay],
    ) -> None:
        """Know the labels of a model; `ledger`: None for no decisions; `overlaid`: lays decisions over the images."""
        self.ledger = ledger
        self._thesaurus, self._overlaid = thesaurus, overlaid
        model_resolver = LabelResolver(Vocabulary(labels), thesaurus)
        nothing = overlaid(decisions.resolve([]))
        self._known = Knowledge(model_resolver.vocabulary, model_resolver, model_resolver, nothing)
        self._stamp: Stamp | None = None
        self._lock = Lock()

    def current(self) -> Knowledge:
        """Return what is known at this moment.

        Raises:
            AaamError: the ledger cannot be read.
        """
        if self.ledger is None:
            return self._known
        with self._lock:
            try:
                # before it is read: what is appended meanwhile is taken the next time
                stamp = _stamp(self.ledger)
                if stamp != self._stamp:
                    found = decisions.read(self.ledger)
                    log.info("%s: %d decisions", self.ledger, len(found))
                    self._known, self._stamp = self._with(found), stamp
            except OSError as error:
                raise AaamError(
                    f"cannot read the decisions {self.ledger}: {error.strerror or error}; make it readable, or go "
                    "without decisions (--no-decisions)"
                ) from None
            return self._known

    def after_fork(self) -> None:
        """Make this usable in a child that was just forked."""
        self._lock = Lock()
        self._known.overlay.after_fork()

    def _with(self, found: Decisions) -> Knowledge:
        known = self._known
        # a word keeps its id, whatever becomes of its decisions: queries that were parsed before name it
        new = {label_key(label): label for label in found.labels if known.vocabulary.find(label) is None}
        if new:
            vocabulary = Vocabulary([*known.vocabulary, *new.values()])
            known = known._replace(vocabulary=vocabulary, resolver=LabelResolver(vocabulary, self._thesaurus))
        return known._replace(overlay=self._overlaid(found))


def _stamp(path: Path) -> Stamp | None:
    """Identify the content of a file; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
