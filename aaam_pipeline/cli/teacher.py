"""Fits words to what an index holds and what was decided, and writes them: for `aaam-pipe teach`.

Shapes: U unlabelled photographs, D embedding.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.cli.examples import ExampleVectors, by_name, check_apart
from aaam_pipeline.cli.render import user
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted
from aaam_pipeline.curation import teach
from aaam_pipeline.curation.ledger import Ledger, now
from aaam_pipeline.curation.teach import Background, Judgement, UnlearnableError
from aaam_pipeline.formats import decisions as ledgers
from aaam_pipeline.formats import taught
from aaam_pipeline.formats.decision_lines import Decision, label_key
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.index.manifest import IndexManifest
from aaam_pipeline.index.taught import renew as renew_index

if TYPE_CHECKING:
    from aaam_pipeline.search import Embed
    from aaam_pipeline.search.engine import Index

log = logging.getLogger(__name__)

WAIT = 10.0
"""Seconds that another writer of the taught words has to finish."""
SAMPLE = 10_000
"""Photographs of the library that stand for all."""
LEAST_LIBRARY = 100


class Taught(NamedTuple):
    """A word that was learned. `given`: examples that were named and are not decided yet: SHA-256 -> yes or no."""

    line: TaughtLine
    judgement: Judgement
    given: dict[str, bool]
    renewed: bool


class Teacher:
    """Teaches words for an open index."""

    def __init__(self, index: "Index", embed: "Embed", path: Path, ledger: Path, report: Reporter) -> None:
        """`path`: the file of taught words; `ledger`: that of decisions.

        Raises:
            UsageError: the index holds too few photographs.
            IntegrityError: the file of taught words is damaged.
        """
        if index.manifest.images < LEAST_LIBRARY:
            raise UsageError(
                f"{index.folder} holds {counted(index.manifest.images, 'image')}; a word is told from the others of a "
                f"library, of at least {LEAST_LIBRARY}"
            )
        self._index, self._path, self._ledger, self._report = index, path, ledger, report
        self._vectors = ExampleVectors(index, embed, report)
        self._known = Vocabulary(index.manifest.vocabulary)
        self._lines = taught.read(path)
        self._decided = ledgers.read(ledger)
        for remark in self._decided.remarks():
            report.info(remark)

    def teach(self, label: str, yes: Sequence[str], no: Sequence[str]) -> Taught:
        """Learn a word from photographs, and what is decided about it.

        Raises:
            UsageError: a photograph is not there, or in both, or the model knows the word.
            UnlearnableError: it cannot be learned from these.
        """
        if (known := self._known.find(label)) is not None:
            name = self._known.labels[known]
            raise UsageError(
                f"the model knows {name!r} already: search for it, and correct it with aaam-pipe decide; what is yours "
                f'needs a name of its own, such as "my {name}"'
            )
        named = [by_name(names, self._index, self._report) for names in (yes, no)]
        check_apart(*named)
        return self._fit(label, named[0], named[1])

    def renew(self, label: str) -> list[Taught]:
        """Learn words again that have new decisions or another model, and new ones from decisions; "": all of them.

        Raises:
            UsageError, UnlearnableError: a word is named, and cannot be learned.
        """
        labels = [line.word.label for line in self._lines]
        keys = set(map(label_key, labels))
        labels += [each for each in self._decided.labels if label_key(each) not in keys]
        if label:
            labels = [each for each in labels if label_key(each) == label_key(label)]
            if not labels:
                raise UsageError(f"{label!r} was neither taught nor decided about: teach it with --yes")
        found = []
        for each in labels:
            if self._known.find(each) is not None:
                if label:
                    raise UsageError(f"the model knows {each!r} already; decisions about it hold as they are")
                continue
            old = taught.find(self._lines, each)
            if old and not label and self._is_current(old):
                continue
            try:
                found.append(self._fit(each, {}, {}))
            except UnlearnableError as error:
                if label:
                    raise
                self._report.info(f"{each!r} {error}")
        return found

    def write(self, found: Sequence[Taught]) -> IndexManifest:
        """Keep words: their examples as decisions, their lines in the file of taught words, and their columns.

        Raises:
            UsageError: another process writes one of these, or it cannot be written.
        """
        source = user()
        Ledger(self._ledger).append(
            Decision(
                sha256=sha256, label=each.line.word.label, value="yes" if shown else "no", by="person", source=source
            )
            for each in found
            for sha256, shown in each.given.items()
        )
        with exclusive(self._path, wait=WAIT, option="--taught"):
            # as they are by now: another process may have taught a word
            lines = taught.read(self._path)
            for each in found:
                lines = taught.replaced(lines, each.line)
            taught.write(self._path, lines)
            try:
                return renew_index(self._index.folder, lines)
            except UsageError as error:
                # what was learned is not lost
                kept = f"it is kept in {self._path}, and aaam-pipe index gives it to the index"
                raise UsageError(f"the index has the new word not yet: {error}; {kept}") from None

    def _is_current(self, old: TaughtLine) -> bool:
        """Return whether a word was taught with this model, from all that is decided."""
        yes, no = self._examples(old.word.label, {}, {})
        same = set(yes) == set(old.word.yes) and set(no) == set(old.word.no)
        return same and old.word.embedding == embedding_of(self._index.manifest.model_id)

    def _examples(self, label: str, yes: Mapping[str, str], no: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return the contents that show a word and those that do not: as taught before, decided, and given now."""
        old = taught.find(self._lines, label)
        shown = dict.fromkeys(old.word.yes, True) | dict.fromkeys(old.word.no, False) if old else {}
        decided_yes, decided_no = self._decided.of_label(label)
        shown |= dict.fromkeys(_hexes(decided_yes), True) | dict.fromkeys(_hexes(decided_no), False)
        shown |= dict.fromkeys(yes, True) | dict.fromkeys(no, False)
        # sorted: equal examples give an equal word, in whatever order they were named
        return sorted(each for each in shown if shown[each]), sorted(each for each in shown if not shown[each])

    def _fit(self, label: str, yes: dict[str, str], no: dict[str, str]) -> Taught:
        names = yes | no
        examples = self._examples(label, yes, no)
        (yes_YD, yes_found), (no_MD, no_found) = (self._vectors.of(each, names) for each in examples)
        found = {*yes_found, *no_found}
        # those that were named and have no vector are said already
        if missing := [each for each in (*examples[0], *examples[1]) if each not in found and not names.get(each)]:
            self._report.info(f"{label!r}: {counted(len(missing), 'example')} left out: not in the index, nor at hand")
        own = [id for ids in self._vectors.ids(found).values() for id in ids]
        keep_U = ~np.isin(self._sample, own)
        fit = teach.fit(self._background, yes_YD, no_MD, keep_U)
        judged = fit.judgement
        old = taught.find(self._lines, label)
        word = TaughtWord(
            label=label,
            embedding=embedding_of(self._index.manifest.model_id),
            yes=examples[0],
            no=examples[1],
            threshold=fit.threshold,
            ap=judged.ap,
            low=judged.low,
            high=judged.high,
            unlabelled=int(keep_U.sum()),
            at=now(),
            how=teach.HOW,
        )
        given = {sha256: sha256 in yes for sha256 in names if sha256 in found}
        return Taught(TaughtLine(word, fit.weight_D, fit.bias), judged, given, old is not None)

    @cached_property
    def _sample(self) -> NDArray[np.int64]:
        """The ids of the photographs that stand for the library (U,)."""
        images = self._index.manifest.images
        chosen = np.random.default_rng(0).choice(images, min(SAMPLE, images), replace=False)
        return np.sort(chosen).astype(np.int64)

    @cached_property
    def _background(self) -> Background:
        self._report.info(f"{counted(len(self._sample), 'photograph', ',')} stand for the library")
        return Background(self._index.vectors.some(self._sample))


def _hexes(digests: NDArray[np.bytes_]) -> list[str]:
    # NumPy leaves out zero bytes at the end of an item
    return [digests[row : row + 1].tobytes().hex() for row in range(len(digests))]
