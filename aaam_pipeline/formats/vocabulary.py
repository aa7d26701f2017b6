"""The labels of a model, in their fixed order: label <-> id, and the nearest labels to a word that is none."""

from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from unicodedata import normalize

from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import IntegrityError, UnknownLabelError

# characters of an unknown word that a message repeats
SHOWN = 60
# labels that are alike which a message names
NAMED = 5


def fault_of_labels(labels: Sequence[str]) -> str:
    """Say in one line why labels can be no vocabulary, naming them; "" if they can.

    Case, blanks and Unicode form make no other label: nobody can tell such labels apart in a query. This is for new
    vocabularies; those of older models are read as far as `Vocabulary` takes them.
    """
    if not labels:
        return "there are no labels"
    alike: dict[str, list[str]] = {}
    for number, label in enumerate(labels, start=1):
        if not any(char.isprintable() and not char.isspace() for char in label):
            return f"label {number} of {len(labels)} is blank: {label!a}"
        alike.setdefault(_folded(label), []).append(label)
    twins = [group for group in alike.values() if len(group) > 1]
    if not twins:
        return ""
    more = f", and {len(twins) - NAMED} more" if len(twins) > NAMED else ""
    named = ", ".join(" = ".join(map(_distinct(group), group)) for group in twins[:NAMED])
    return f"labels are repeated, or differ in case, blanks or Unicode form only: {named}{more}"


def _folded(label: str) -> str:
    """Return a label without case, Unicode form and repeated blanks (Unicode's NFKC_Casefold, nearly)."""
    return " ".join(normalize("NFKC", normalize("NFKC", label).casefold()).split())


def _distinct(labels: Sequence[str]) -> Callable[[str], str]:
    """Return what shows labels so that a person sees the difference: as they are, or escaped where they look alike."""
    looks = {normalize("NFKC", label) for label in labels}
    shown = repr if len(looks) == len(set(labels)) else ascii
    # the command line makes one blank of several
    return lambda label: shown(label).replace("  ", r"\x20\x20")


class Vocabulary:
    """An ordered set of labels; a label's index is its id, its column in `scores` and its row in the classifier."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Take the labels in order.

        Raises:
            IntegrityError: there are none, or two are equal when case is ignored.
        """
        self.labels = tuple(labels)
        self._ids = {label.casefold(): index for index, label in enumerate(self.labels)}
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
        index = self._ids.get(word.casefold())
        if index is None:
            raise UnknownLabelError(self.unknown(word))
        return index

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
