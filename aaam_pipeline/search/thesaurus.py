"""What a word that is no label is taken for: a synonym, a parent (all of its children), a plural or a singular; and as
the last resort, what is written like it but for accents, hyphens and apostrophes.

The thesaurus is data: `thesaurus.yaml` beside this file, or a words file of the user's own in the same form.
"""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.text import folded, unaccented
from aaam_pipeline.formats import vocabulary as vocabularies
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.search.tokens import special_labels

# letters of a word in which each counts
SHORT = 4
SHIPPED = Path(__file__).with_name("thesaurus.yaml")


class Thesaurus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`synonyms`: a label -> words taken for it; `parents`: a word -> its children; `plurals`: irregular ones."""

    synonyms: dict[str, list[str]] = {}
    parents: dict[str, list[str]] = {}
    plurals: dict[str, str] = {}


def load(path: Path | None = None) -> Thesaurus:
    """Read a words file; None: the one that is shipped.

    Raises:
        UsageError: the file cannot be read, or is no words file.
    """
    # a query of labels alone never comes here, and is spared the time
    import yaml

    path = path or SHIPPED
    # libyaml is ten times as fast as the Python parser, where it was built in
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # a section without entries is None in YAML
        tree = yaml.load(path.read_text(encoding="utf8"), Loader=loader) or {}
        if isinstance(tree, dict):
            tree = {section: {} if entries is None else entries for section, entries in tree.items()}
        return msgspec.convert(tree, Thesaurus)
    except OSError as error:
        raise UsageError(f"cannot read the words file {path}: {error.strerror}") from None
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a words file: {' '.join(str(error).split())}") from None


class LabelResolver:
    """Finds the labels of a vocabulary that a word stands for."""

    def __init__(self, vocabulary: Vocabulary, thesaurus: Thesaurus | None = None) -> None:
        """Apply a thesaurus to a vocabulary; None: the one that is shipped, read when first needed."""
        self.vocabulary = vocabulary
        self._own = thesaurus

    @cached_property
    def longest(self) -> int:
        """The number of words of the longest name: more of them are never one name."""
        return max(len(name.split()) for name in (*self.vocabulary, *self._synonyms, *self._children))

    @cached_property
    def special(self) -> re.Pattern[str] | None:
        """What matches the labels that are no plain words, as with a comma or a bar in them."""
        return special_labels(self.vocabulary)

    @cached_property
    def _thesaurus(self) -> Thesaurus:
        return load() if self._own is None else self._own

    @cached_property
    def _irregular(self) -> dict[str, str]:
        plurals = {folded(one): folded(many) for one, many in self._thesaurus.plurals.items()}
        return {**{many: one for one, many in plurals.items()}, **plurals}

    @cached_property
    def _synonyms(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for label, alternatives in self._thesaurus.synonyms.items():
            id = self._label(folded(label))
            if id is not None:
                for word in map(folded, alternatives):
                    # `boat` is no synonym of `ships` where `boats` is a label
                    if self._label(word) is None:
                        found.setdefault(word, id)
        return found

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        return {folded(parent): children for parent, children in self._thesaurus.parents.items()}

    def find(self, word: str) -> tuple[int, ...]:
        """Return the ids of the labels a word stands for; none if it is unknown.

        A label wins over a synonym, that over a parent; only then the other number is tried, in the same order, and
        at last what differs in accents, hyphens or apostrophes.
        """
        name = folded(word)
        # lazily: a label needs no thesaurus
        for forms in map(list, ([name], self._forms(name))):
            for rule in self._rules:
                for form in forms:
                    if found := rule(form):
                        return found
        return self._respelled.get(_respelled(name), ())

    def find_exactly(self, word: str) -> tuple[int, ...]:
        """Return the ids of the labels a word stands for as it is written."""
        name = folded(word)
        return next(filter(None, (rule(name) for rule in self._rules)), ())

    def unknown(self, word: str) -> str:
        """Return the message that a word is unknown, and what may have been meant: labels first, then other words."""
        names = [*self.vocabulary, *self._synonyms, *filter(self._parent, self._children)]
        near = [name for name in names if _is_plausible(word, name)]
        taught = "" if vocabularies.suggestions(word, near) else "; a new word: aaam-pipe teach"
        return f"{vocabularies.unknown(word, near)}{taught}"

    @property
    def _rules(self) -> tuple[Callable[[str], tuple[int, ...]], ...]:
        return self._exactly, self._synonym, self._parent

    @cached_property
    def _respelled(self) -> dict[str, tuple[int, ...]]:
        """Labels by what they look like without accents; several may look the same. Then synonyms."""
        found: dict[str, tuple[int, ...]] = {}
        for id, label in enumerate(self.vocabulary):
            found[_respelled(label)] = (*found.get(_respelled(label), ()), id)
        for word, id in self._synonyms.items():
            found.setdefault(_respelled(word), (id,))
        # of a label that is a mark alone, nothing is left
        found.pop("", None)
        return found

    def _exactly(self, word: str) -> tuple[int, ...]:
        id = self.vocabulary.find(word)
        return () if id is None else (id,)

    def _synonym(self, word: str) -> tuple[int, ...]:
        return (self._synonyms[word],) if word in self._synonyms else ()

    def _parent(self, word: str) -> tuple[int, ...]:
        """Return the labels below a parent, each once, in the order of the file."""
        found: dict[int, None] = {}
        seen, waiting = {word}, list(reversed(self._children.get(word, [])))
        while waiting:
            child = folded(waiting.pop())
            id = self._label(child)
            if id is not None:
                found[id] = None
            elif child not in seen:
                seen.add(child)
                waiting += reversed(self._children.get(child, []))
        return tuple(found)

    def _label(self, word: str) -> int | None:
        """Return the label that a word is, in the singular or plural."""
        found = (self.vocabulary.find(form) for form in (word, *self._forms(word)))
        return next((id for id in found if id is not None), None)

    def _forms(self, word: str) -> Iterator[str]:
        """Yield the plurals and singulars that a word may have, of its last part; many of them are no words."""
        head, space, last = word.rpartition(" ")
        if last in self._irregular:
            yield head + space + self._irregular[last]
        for ending, others in ENDINGS:
            if last.endswith(ending) and len(last) > len(ending) + 1:
                stem = last[: len(last) - len(ending)]
                for form in (stem + other for other in others):
                    # no plural ends in ss: gras is a misspelling of grass
                    if not max(last, form, key=len).endswith("ss"):
                        yield head + space + form


def _is_plausible(word: str, name: str) -> bool:
    """Return whether a name may be meant by a short word; of a long one, the wrong letters tell it alone.

    Another first letter, or another letter instead of one, makes another word: a hat is no cat.
    """
    typed, other = unaccented(word), unaccented(name)
    if len(typed) > SHORT:
        return True
    return any(
        typed == each or (typed[:1] == each[:1] and (len(typed) != len(each) or sorted(typed) == sorted(each)))
        for each in other.split()
    )


def _respelled(word: str) -> str:
    return " ".join(unaccented(word).replace("_", " ").replace("-", " ").split())


ENDINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ies", ("y",)),
    ("ves", ("f", "fe")),
    ("es", ("",)),
    ("s", ("",)),
    ("y", ("ies",)),
    ("fe", ("ves",)),
    ("f", ("ves",)),
    ("", ("s", "es")),
)
"""What the end of a word may be turned into for its other number."""
