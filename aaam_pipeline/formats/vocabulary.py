"""The labels of a model, in their fixed order: label <-> id, and the nearest labels to a word that is none."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import IntegrityError, UnknownLabelError

# characters of an unknown word that a message repeats
SHOWN = 60


class Vocabulary:
    """An ordered set of labels; a label's place is its id, its column in `scores` and its row in the classifier."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Take the labels in order.

        Raises:
            IntegrityError: there are none, or two are equal when case is ignored.
        """
        self.labels = tuple(labels)
        self._ids = {label.casefold(): place for place, label in enumerate(self.labels)}
        self.longest = max((len(label.split()) for label in self.labels), default=0)
        """Words of the longest label."""
        if not self.labels or len(self._ids) != len(self.labels):
            raise IntegrityError("a vocabulary needs at least one label and no label twice")

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and word.casefold() in self._ids

    @property
    def hash(self) -> str:
        """Identify the labels and their order."""
        return fingerprint(list(self.labels))

    def id(self, word: str) -> int:
        """Return a label's id; case is ignored.

        Raises:
            UnknownLabelError: `word` is no label; the message names the nearest ones.
        """
        place = self._ids.get(word.casefold())
        if place is None:
            raise UnknownLabelError(self.unknown(word))
        return place

    def unknown(self, word: str, meant: str = "") -> str:
        """Say that `word` is no label, what may have been `meant`, and which labels are nearest."""
        shown = word if len(word) <= SHOWN else f"{word[:SHOWN]}..."
        guess = f"did you mean {meant}? " if meant else ""
        nearest = ", ".join(repr(label) for label in self.nearest(word[:SHOWN]))
        return f"{shown!r} is not a label; {guess}nearest: {nearest} (all of them: aaam-pipe labels)"

    def nearest(self, word: str, count: int = 3) -> list[str]:
        """Return the labels most like `word`: those that contain it first, then by how alike the letters are."""
        folded = word.casefold()

        def likeness(label: str) -> tuple[bool, float]:
            other = label.casefold()
            return (folded in other.split() or other in folded.split(), SequenceMatcher(None, folded, other).ratio())

        return sorted(self.labels, key=likeness, reverse=True)[:count]
