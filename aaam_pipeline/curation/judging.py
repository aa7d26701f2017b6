"""A session in which a person judges photographs, a word at a time, until each word has its threshold.

Every answer is in the ledger before the next question, and nothing else is kept: a session that ends, in whatever way,
is continued by the next one, since which photographs are asked about follows from the annotations alone.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aaam_pipeline.curation.label_thresholds import Answer, LabelSample, LabelThreshold
from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.curation.score_pool import PhotoPlace, ScorePool
from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decision_lines import Decision, Value, label_key
from aaam_pipeline.formats.targets import UNKNOWN

# of answers to questions; any other decision counts as known, and says nothing of photographs that were not judged
SOURCE = "thresholds"


class Question(NamedTuple):
    """Does a photograph show a word?"""

    label: str
    photograph: int
    place: PhotoPlace
    score: float


class JudgingSession:
    """What is asked next, what was answered, and what follows from it."""

    def __init__(self, pool: ScorePool, ledger: Path, precision: float, budget: int, source: str = SOURCE) -> None:
        """Begin or continue; `budget`: answers that are asked for in this session, `source`: who answers.

        Raises:
            OSError: the ledger cannot be read.
        """
        self.pool, self.precision, self.budget = pool, precision, budget
        self._ledger, self._source = Ledger(ledger), source
        self._decided = decisions.read(ledger)
        self.remarks = self._decided.remarks()
        self._answers: dict[str, dict[int, bool | None]] = {label: {} for label in pool.labels}
        self._samples = {label: self._sample(column, label) for column, label in enumerate(pool.labels)}
        self._given: list[tuple[Question, bool | None]] = []

    @property
    def answered(self) -> int:
        """Return how many questions of this session were answered or skipped."""
        return len(self._given)

    @property
    def written(self) -> int:
        """Return how many answers of this session are in the ledger."""
        return sum(shows is not None for _, shows in self._given)

    def questions(self) -> Iterator[Question]:
        """Yield what may be asked, the most useful first; nothing when the budget is spent or nothing is missing."""
        if self.answered >= self.budget:
            return
        for column, label in enumerate(self.pool.labels):
            for photograph in self._samples[label].questions(self.precision, self._answer_of(label)):
                score = float(self.pool.score_NL[photograph, column])
                yield Question(label, photograph, self.pool.place(photograph), score)

    def batch(self) -> Iterator[Question]:
        """Yield what is to be judged where answers come all at once: as many as a word needs if none says no."""
        for column, label in enumerate(self.pool.labels):
            for photograph in self._samples[label].batch(self.precision, self._answer_of(label)):
                score = float(self.pool.score_NL[photograph, column])
                yield Question(label, photograph, self.pool.place(photograph), score)

    def answer(self, *answers: tuple[Question, bool]) -> None:
        """Write answers into the ledger, all or none: whether the photograph of each question shows its word.

        Raises:
            AaamError, OSError: they cannot be written; no answer is taken.
        """
        self._append((question, "yes" if shows else "no") for question, shows in answers)
        for question, shows in answers:
            self._answers[question.label][question.photograph] = shows
        self._given += answers

    def is_answered(self, question: Question, shows: bool) -> bool:
        """Return whether just this answer was given before."""
        return self._answer(question.label, question.photograph) is shows

    def skip(self, question: Question) -> None:
        """Leave a question to a later session; until then it counts as if the photograph did not show the word.

        To leave it out would be a promise about photographs of which one can tell.
        """
        self._answers[question.label][question.photograph] = False
        self._given.append((question, None))

    def undo(self) -> Question | None:
        """Take the last answer of this session back, which is asked for again."""
        if not self._given:
            return None
        question, shows = self._given.pop()
        if shows is not None:
            self._append([(question, "clear")])
        self._answers[question.label][question.photograph] = None
        return question

    def results(self) -> dict[str, LabelThreshold]:
        """Return what the answers that there are say of each word."""
        return {
            label: self._samples[label].result(self.precision, self._answer_of(label)) for label in self.pool.labels
        }

    def wanted(self, label: str, sha256: str) -> Question | None:
        """Return the question about a photograph; None where it is not one of the annotations."""
        found = int(np.searchsorted(self.pool.digest_N, decisions.digests([sha256])[0]))
        if label not in self.pool.labels or found >= len(self.pool.digest_N) or self.pool.sha256(found) != sha256:
            return None
        score = float(self.pool.score_NL[found, self.pool.labels.index(label)])
        return Question(label, found, self.pool.place(found), score)

    def _answer_of(self, label: str) -> Answer:
        return partial(self._answer, label)

    def _answer(self, label: str, photograph: int) -> bool | None:
        """Return the answer to a question, of this session or of an earlier one."""
        found = self._answers[label]
        if photograph not in found:
            found[photograph] = self._earlier_answer(label, photograph)
        return found[photograph]

    def _earlier_answer(self, label: str, photograph: int) -> bool | None:
        verdicts = self._decided.of_image(self.pool.sha256(photograph))
        verdict = next((each for name, each in verdicts.items() if label_key(name) == label_key(label)), None)
        return verdict.value == "yes" if verdict and verdict.source.startswith(SOURCE) else None

    def _sample(self, column: int, label: str) -> LabelSample:
        """Return the sample of a word; what files say, and persons whom its questions did not ask, is known."""
        known_N = np.full(len(self.pool.digest_N), UNKNOWN, np.int8)
        for by in ("file", "person"):
            for value, contents in zip((1, 0), self._decided.of_label(label, by), strict=True):
                places = np.minimum(np.searchsorted(self.pool.digest_N, contents), len(known_N) - 1)
                found = places[self.pool.digest_N[places] == contents].tolist()
                # one by one is slow: of files there may be a million, and none of their keywords is an answer
                if by == "person":
                    found = [each for each in found if self._earlier_answer(label, each) is None]
                known_N[found] = value
        return LabelSample(self.pool.score_NL[:, column], self.pool.random(label), known_N)

    def _append(self, said: Iterable[tuple[Question, Value]]) -> None:
        self._ledger.append(
            Decision(
                sha256=question.place.sha256,
                label=question.label,
                value=value,
                by="person",
                source=self._source,
                model=self.pool.manifest.model_id,
                score=question.score,
            )
            for question, value in said
        )
