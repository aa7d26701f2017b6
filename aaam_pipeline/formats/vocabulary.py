"""The labels of a model, in their fixed order: label <-> id, and the labels that a word which is none may mean."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from unicodedata import normalize

from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import IntegrityError, UnknownLabelError
from aaam_pipeline.core.text import edits, folded, unaccented

# characters of an unknown word that a message repeats
SHOWN = 60
# labels that are alike which a message names
NAMED = 5
# words that a message suggests, the letters of the shortest word that has any, and those for each that may be wrong
SUGGESTED, SHORTEST, LETTERS_A_SLIP = 3, 3, 4
# nothing longer is a typing error, and to compare takes the square of the letters
LONGEST_SLIP = 100


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
        self._loose_ids: dict[str, int] = {}
        for index, label in enumerate(self.labels):
            self._loose_ids.setdefault(_loose(label), index)
        self.longest = max((len(label.split()) for label in self.labels), default=0)
        """Words of the longest label."""
        if not self.labels or len(self._ids) != len(self.labels):
            raise IntegrityError("a vocabulary needs at least one label and no label twice")

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.find(word) is not None

    @property
    def hash(self) -> str:
        """Identify the labels and their order."""
        return fingerprint(list(self.labels))

    def find(self, word: str) -> int | None:
        """Return a label's id, or None; case, Unicode form and repeated blanks are ignored."""
        # an older vocabulary may have labels that differ in their form only: the spelling decides
        index = self._ids.get(word.casefold())
        return self._loose_ids.get(_loose(word)) if index is None else index

    def id(self, word: str) -> int:
        """Return a label's id; case, Unicode form and repeated blanks are ignored.

        Raises:
            UnknownLabelError: `word` is no label; the message names those that may be meant.
        """
        index = self.find(word)
        if index is None:
            raise UnknownLabelError(unknown(word, self.labels))
        return index


def _loose(label: str) -> str:
    return " ".join(folded(label).split())


def unknown(word: str, names: Iterable[str]) -> str:
    """Say that `word` is no label, and which of some names may be meant, or how all labels are listed."""
    shown = word if len(word) <= SHOWN else f"{word[:SHOWN]}..."
    near = suggestions(word, names)
    if not near:
        return f"{shown!r} is not a label; all labels: aaam-pipe labels"
    meant = f"{', '.join(near[:-1])} or {near[-1]}" if near[:-1] else near[0]
    return f"{shown!r} is not a label; did you mean {meant}? (all labels: aaam-pipe labels)"


def suggestions(word: str, names: Iterable[str]) -> list[str]:
    """Return the names that may be meant by a word which is none, the most likely first, at most `SUGGESTED`.

    One letter may be wrong, missing, too many, or swapped with the next; two of eight, three of twelve. Where there is
    no such name: those that have a word in common, or one that is as near.
    """
    if len(word) > LONGEST_SLIP:
        return []
    typed = unaccented(word)
    allowed = max(1, len(typed) // LETTERS_A_SLIP) if len(typed) >= SHORTEST else 0
    typed_words = {each for each in typed.split() if len(each) >= SHORTEST}
    near: dict[str, int] = {}
    shared: dict[str, int] = {}
    for name in names:
        other = unaccented(name)
        # more wrong letters than half of the name's make another word
        most = min(allowed, len(other) // 2)
        if (slips := edits(typed, other, most)) <= most:
            near.setdefault(name, slips)
        elif typed_words & set(words := other.split()):
            shared.setdefault(name, 0)
        elif len(words) > 1 and any(edits(typed, each, allowed) <= allowed < len(each) for each in words):
            shared.setdefault(name, 1)
    found = near or shared
    return sorted(found, key=lambda name: found[name])[:SUGGESTED]
