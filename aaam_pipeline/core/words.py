"""Words that people use for a model's labels: synonyms, and parents that stand for several labels.

`words.yaml` beside this file is what is used unless a user names another one.
"""

from functools import cache
from pathlib import Path
from typing import Self

import msgspec

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.vocabulary import Vocabulary

SHIPPED = Path(__file__).with_name("words.yaml")
IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "cacti": "cactus",
}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    synonyms: dict[str, list[str]] = {}
    parents: dict[str, list[str]] = {}


class Words:
    """Finds the labels that a word means."""

    def __init__(self, synonyms: dict[str, list[str]], parents: dict[str, list[str]]) -> None:
        """Use `synonyms` (label -> words for it) and `parents` (word -> labels or parents below it)."""
        self._labels: dict[str, list[str]] = {}
        for label, others in synonyms.items():
            for word in others:
                self._labels.setdefault(word.casefold(), []).append(label)
        self._parents = {word.casefold(): children for word, children in parents.items()}
        self.longest = max((len(word.split()) for word in (*self._labels, *self._parents)), default=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of words.

        Raises:
            UsageError: it cannot be read, or is not of this kind.
        """
        try:
            content = msgspec.yaml.decode(path.read_bytes(), type=_File)
        except OSError as error:
            raise UsageError(f"cannot read the words of {path}: {error.strerror or error}") from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise UsageError(
                f"{path} is not a file of words: {error}; `aaam-pipe labels --words` prints one to begin with"
            ) from None
        return cls(content.synonyms, content.parents)

    @classmethod
    @cache
    def shipped(cls) -> Self:
        """Return the words that come with this program."""
        return cls.read(SHIPPED)

    def find(self, text: str, vocabulary: Vocabulary) -> list[int]:
        """Return the ids of the labels that `text` means, none if it means nothing: first itself, then in the singular
        or plural; each time as a label, a synonym of one, a parent of some.
        """
        for form in _forms(" ".join(text.casefold().split())):
            for names in ([form], self._synonym(form, vocabulary), self._below(form, vocabulary)):
                if ids := [vocabulary.id(name) for name in names if name in vocabulary]:
                    return list(dict.fromkeys(ids))
        return []

    def _synonym(self, word: str, vocabulary: Vocabulary) -> list[str]:
        return [label for label in self._labels.get(word, []) if label in vocabulary][:1]

    def _below(self, word: str, vocabulary: Vocabulary) -> list[str]:
        """Return the labels below a parent. Children that are parents too are opened; a circle ends."""
        found, seen, open_ = list[str](), {word}, [word]
        while open_:
            for child in self._parents.get(open_.pop(0), []):
                folded = child.casefold()
                if folded in seen:
                    continue
                seen.add(folded)
                found += [child] if child in vocabulary else self._synonym(folded, vocabulary)
                open_.append(folded)
        return found


def _forms(text: str) -> list[str]:
    """Return a word as it is, then what may be its singular and its plurals; of several words the last one varies."""
    head, _, word = text.rpartition(" ")
    forms = [word]
    if word in IRREGULAR:
        forms.append(IRREGULAR[word])
    forms += [many for many, one in IRREGULAR.items() if one == word]
    for ending, one in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) > len(ending) + 1:
            forms.append(word[: -len(ending)] + one)
    for ending, many in (("y", "ies"), ("fe", "ves"), ("f", "ves"), ("", "s"), ("", "es")):
        if word.endswith(ending):
            forms.append(word[: len(word) - len(ending)] + many)
    return [f"{head} {form}".strip() for form in dict.fromkeys(forms)]
