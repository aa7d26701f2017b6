"""Tells which words of a query are names (labels, synonyms, parents), which join them, and which are left out.

A label is a label wherever it stands: the longest one from a word on wins over all that its words might mean.
"""

import re
from functools import cache
from typing import NamedTuple

from aaam_pipeline.search import query
from aaam_pipeline.search.thesaurus import LabelResolver
from aaam_pipeline.search.tokens import END, Token, fail

OPERATORS = {
    "and": "&", "or": "|", "and/or": "|", "/": "|", "not": "-", "no": "-", "without": "-", "except": "-",
}  # fmt: skip
"""What words mean that are no names; case does not matter."""
SMALL_WORDS = frozenset({
    "a", "an", "the", "some", "any", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our",
    "their", "is", "are", "on", "in", "at", "of", "with", "by", "for", "from", "to", "into", "onto", "over", "under",
    "near", "beside", "behind", "between", "photo", "photos", "photograph", "photographs", "picture", "pictures",
    "image", "images", "show", "find", "me", "all", "only", "just", "but", "also",
})  # fmt: skip
"""Words of a sentence that are left out, with a note, where they are no names."""
FIELDS_MEANT = {
    "size": "the size of a file is called bytes: bytes>1MB",
    "filesize": "the size of a file is called bytes: bytes>1MB",
    "date": "dates are asked for with after: and before:, as in after:2023 before:2024",
    "year": "dates are asked for with after: and before:, as in after:2023 before:2024",
}
"""Words that are compared as if they were fields, and what to write instead."""
POSSESSIVE = re.compile(r"['’]s$", re.IGNORECASE)
# what ends a sentence, or is left of a quotation
EDGES = ".?!:…'’‘`"
# labels that a note lists
MAX_LISTED = 8


class NamedQuery(NamedTuple):
    """A query whose words are told. `taken`: what names were taken for, by name; `unknown`: words that are none."""

    tokens: list[Token]
    taken: dict[str, str]
    left_out: list[str]
    commas: bool
    unknown: list[str]

    @property
    def notes(self) -> list[str]:
        """Which words were taken for others, and what is searched for where some were left out."""
        taken = [f"{name} is searched as {labels}" for name, labels in self.taken.items()]
        forgiven = [f"left out: {', '.join(self.left_out)}"] * bool(self.left_out) + ["a comma means and"] * self.commas
        return [f"searching for: {_written(self.tokens)} ({'; '.join(forgiven)})", *taken] if forgiven else taken

    @property
    def known(self) -> str:
        """The query without the words that are unknown, and the marks that belong to them; "" if nothing is left."""
        kept: list[Token] = []
        waiting = list(reversed(self.tokens))
        while waiting:
            token = waiting.pop()
            if token.kind != "name" or token.ids:
                kept.append(token)
                continue
            if waiting[-1].kind == "compare":
                del waiting[-2:]
            while kept and kept[-1][:2] in (("mark", "-"), ("mark", "+")):
                kept.pop()
            if kept and kept[-1][:2] in (("mark", "|"), ("mark", "&")):
                kept.pop()
            elif waiting[-1][:2] in (("mark", "|"), ("mark", "&")):
                waiting.pop()
        return _written(kept)


def told(text: str, tokens: list[Token], resolver: LabelResolver) -> NamedQuery:
    """Return the tokens with names instead of words, marks instead of `and`, `or`, `not`, and without small words.

    Raises:
        QuerySyntaxError: `label:` has no label.
    """
    return _Teller(text, tokens, resolver).told()


class _Teller:
    def __init__(self, text: str, tokens: list[Token], resolver: LabelResolver) -> None:
        self._text, self._tokens, self._resolver = text, tokens, resolver
        # where every word is a label, only labels can be names of several words
        plain = all(token.text in resolver.vocabulary for token in tokens if token.kind == "word")
        self._longest = resolver.vocabulary.longest if plain else resolver.longest
        self._taken: dict[str, str] = {}
        self._left_out: dict[str, None] = {}
        self._commas = False
        self._unknown: dict[str, None] = {}
        # a long query may repeat a word a thousand times
        self._ids = cache(self._find)

    def told(self) -> NamedQuery:
        found: list[Token] = []
        at = 0
        while self._tokens[at].kind != END:
            token = self._tokens[at]
            if token.kind == "label":
                if self._tokens[at + 1].kind not in ("word", "quoted"):
                    fail(self._text, self._tokens[at + 1].position, "a label is missing here")
                at += 1
            elif token.kind == "separator":
                self._commas = True
                at += 1
            elif token.kind == "exclamation":
                self._left_out.update(dict.fromkeys(token.text))
                at += 1
            elif token.kind not in ("word", "quoted") or self._is_field(at):
                found.append(token)
                # what a field is compared with is no name, and neither is a probability
                number = token.kind == "compare" and self._tokens[at + 1].kind == "word"
                at += 1 + number
                found += self._tokens[at - 1 : at] if number else []
            else:
                name, length = self._name(at)
                found += [name] if name else []
                at += length
        found.append(self._tokens[at])
        return NamedQuery(found, self._taken, list(self._left_out), self._commas, list(self._unknown))

    def _find(self, name: str) -> tuple[int, ...]:
        """Return the labels that a name stands for; `dog/cat` is either of them."""
        found = self._resolver.find(name)
        if found or "/" not in name:
            return found
        parts = [self._resolver.find(part.strip()) for part in name.split("/")]
        return tuple(dict.fromkeys(id for part in parts for id in part)) if all(parts) else ()

    def _is_field(self, at: int) -> bool:
        token, after = self._tokens[at : at + 2]
        return token.kind == "word" and token.text.lower() in query.NUMBER_FIELDS and after.kind == "compare"

    def _name(self, at: int) -> tuple[Token | None, int]:
        """Return the longest name from a token on, a mark, or None for what is left out; and its number of tokens."""
        token, vocabulary = self._tokens[at], self._resolver.vocabulary
        words = [token.text]
        if token.kind == "word":
            run = self._tokens[at : at + self._longest]
            words = [word.text for word in run[: next((n for n, t in enumerate(run) if t.kind != "word"), None)]]
        for length in range(len(words), 0, -1):
            name = " ".join(" ".join(words[:length]).split())
            # `palm tree` is two labels where both are, whatever else it might be taken for
            apart = length > 1 and name not in vocabulary and all(word in vocabulary for word in words[:length])
            # `to` is not the plural's `toes`
            small = length == 1 and token.kind == "word" and _is_small(name)
            ids = () if apart else self._resolver.find_exactly(name) if small else self._ids(name)
            if ids:
                return self._found(name, ids, token), length
        if token.kind == "word":
            folded = token.text.casefold()
            if folded in OPERATORS:
                return Token("mark", OPERATORS[folded], token.position), 1
            if folded in SMALL_WORDS and not self._is_operand(at):
                self._left_out[token.text] = None
                return None, 1
            bare = token.text.strip(EDGES)
            if not bare:
                self._left_out.update(dict.fromkeys(token.text))
                return None, 1
            for form in (bare, POSSESSIVE.sub("", bare)):
                if form != token.text and (ids := self._ids(form)):
                    self._left_out.update(dict.fromkeys(re.findall("['’]s|.", token.text.replace(form, "", 1))))
                    return self._found(form, ids, token), 1
            if self._tokens[at + 1].kind == "compare" and folded in FIELDS_MEANT:
                fail(self._text, token.position, FIELDS_MEANT[folded])
        self._unknown[words[0]] = None
        # the parser continues, so that all unknown words are named
        return Token("name", token.text, token.position), 1

    def _is_operand(self, at: int) -> bool:
        """Return whether a word is all that stands between marks: then it was meant to be a label."""
        before, after = self._tokens[at - 1] if at else None, self._tokens[at + 1]
        opens = before is None or (before.kind == "mark" and before.text != ")")
        return opens and (after.kind in (END, "compare") or after[:2] in (("mark", "|"), ("mark", ")"), ("mark", "&")))

    def _found(self, name: str, ids: tuple[int, ...], token: Token) -> Token:
        vocabulary = self._resolver.vocabulary
        if name not in vocabulary:
            more = f"... ({len(ids)} labels)" if len(ids) > MAX_LISTED else ""
            self._taken[name] = "|".join(vocabulary.labels[id] for id in ids[:MAX_LISTED]) + more
        return Token("name", name, token.position, ids=ids)


def _is_small(word: str) -> bool:
    return word.casefold() in OPERATORS or word.casefold() in SMALL_WORDS


def _written(tokens: list[Token]) -> str:
    """Write tokens as a query, names of several words in quotes."""
    pieces = []
    for token in tokens:
        text = token.text
        if token.kind == "name" and not re.fullmatch(r"[\w.'-]+", text):
            text = query.quoted(text)
        if token.kind == "field":
            text = f"{text}:{token.value if re.fullmatch(r'[^ ()|]+', token.value) else query.quoted(token.value)}"
        pieces.append("" if text == "&" else text)
    return re.sub(r"(?<=[|(-]) | (?=[|)])|(?<=[<>=]) | (?=[<>=])", "", " ".join(filter(None, pieces)))
