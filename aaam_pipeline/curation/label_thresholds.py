"""The threshold of one word: from it on, a stated share of the photographs of this library shows the word.

Candidates are nested sets, the photographs from a score on, fixed before any answer: the first is the largest whose
scores say that it is right clearly more often than the share, each next is half as large again. They are tested one
after the other, each at the full error rate, until one fails: a fixed sequence, whose chance of any false promise is
that of one test (Maurer et al. 1995; Learn then Test, Angelopoulos et al. 2021). If the first one fails, an eighth of
it, a quarter and a half are tested likewise, at an error rate of their own.

Who is asked about is decided by permanent random numbers, made of the photograph's hash: the sample of a set is its
first photographs in that order, so that sets share answers, and a run that was stopped needs no plan to go on. What was
decided otherwise (`known`) was not drawn at random: it counts as what it is, and says nothing of others.

Shapes: N photographs.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.curation.counts import Interval, Stratum, share, total
from aaam_pipeline.curation.precision_test import SPENT, Judged, judge, looks
from aaam_pipeline.formats.targets import UNKNOWN

Answer = Callable[[int], bool | None]
# of 0.05: the first sequence, the second, and the upper limit of the precision
SEQUENCE, RETREAT, UPPER = 0.03, 0.01, 0.01
GROWTH, SETS, SMALLEST = 1.5, 10, 20
# how far between the share and 1 the mean score of the first set lies
MARGIN = 0.75
# answers for each of the two strata below the sets, to count what is missed; the upper holds this share of all scores
BELOW, UPPER_MASS = 15, 0.9
NO_MORE = 100_000


class LabelThreshold(NamedTuple):
    """What answers say of a word. `threshold`: None where the precision is not held, or not yet.

    `decided`: no answer can change the threshold; `finished`: nor what else is said. `precision`, `recall`: from the
    threshold on; `photographs`: how many show the word. None: not known.
    """

    threshold: float | None
    decided: bool
    finished: bool
    answers: int
    precision: Interval | None = None
    recall: Interval | None = None
    photographs: Interval | None = None


class _Tested(NamedTuple):
    """A candidate set: so many photographs in the order of scores, and what the answers say of it."""

    size: int
    judged: Judged


class LabelSample:
    """The questions about a word, and what follows from their answers."""

    def __init__(self, score_N: NDArray[np.float32], random_N: NDArray[np.uint64], known_N: NDArray[np.int8]) -> None:
        """Take scores, permanent random numbers, and what is known without the sample: 1, 0 or -1."""
        self._order_N = np.argsort(-score_N, kind="stable")
        self._score_N, self._known_N = score_N[self._order_N], known_N[self._order_N]
        unknown = np.flatnonzero(self._known_N == UNKNOWN)
        # places in the order of scores, in the random order
        self._drawn = unknown[np.argsort(random_N[self._order_N][unknown], kind="stable")]
        # each question looks at the sets again: what of them needs no answer is computed once
        self._wrong_N, self._unknown_N = (np.cumsum(self._known_N == value) for value in (0, UNKNOWN))
        self._prefixes: dict[tuple[int, int], NDArray[np.intp]] = {}
        self._sizes: dict[float, tuple[list[int], list[int]]] = {}
        self._strata: dict[int, list[tuple[int, int]]] = {}

    def questions(self, precision: float, answer: Answer) -> Iterator[int]:
        """Yield the photographs to be judged next, the most useful first; the same ones until they are answered."""
        _, tested = self._tested(precision, self._placed(answer))
        if (asks := tested[-1].judged.asks) is not None:
            yield int(self._order_N[asks])
            return
        for low, high in self._below(tested):
            for place in self._prefix(low, high)[:BELOW]:
                if answer(int(self._order_N[place])) is None:
                    yield int(self._order_N[place])

    def batch(self, precision: float, answer: Answer) -> list[int]:
        """Return the photographs that have to be judged at least, if all of the next set are right."""
        placed = self._placed(answer)
        _, tested = self._tested(precision, placed)
        size, judged = tested[-1]
        wanted: list[int] = []
        if judged.asks is not None:
            failing, unknown = self._failing(size, precision)
            alpha = SEQUENCE if size >= tested[0].size else RETREAT
            next_look = next((look for look in looks(unknown, failing, alpha) if look > judged.answers), unknown)
            wanted += map(int, self._prefix(0, size)[judged.answers : next_look])
        for low, high in self._below(tested):
            wanted += map(int, self._prefix(low, high)[:BELOW])
        return [int(self._order_N[place]) for place in wanted if placed(place) is None]

    def result(self, precision: float, answer: Answer) -> LabelThreshold:
        """Return what the answers that there are say."""
        placed = self._placed(answer)
        chosen, tested = self._tested(precision, placed)
        deepest = max(tested, key=lambda each: each.size)
        below = [self._stratum(low, high, placed, BELOW) for low, high in self._below(tested)]
        answers = len({each for each in self._asked(tested) if placed(each) is not None})
        answers += sum(each.answers for each in below)
        decided = tested[-1].judged.asks is None
        counted = decided and all(each.answers == min(BELOW, each.size) for each in below)
        if chosen is None:
            strata = [self._stratum(0, deepest.size, placed, deepest.judged.answers), *below]
            return LabelThreshold(None, decided, counted, answers, photographs=total(strata) if counted else None)
        inside = self._stratum(0, chosen.size, placed, chosen.judged.answers)
        ring = self._ring(chosen, deepest, placed)
        held = self._precision(precision, chosen, inside)
        recall = share([inside], [*ring, *below]) if counted else None
        photographs = total([inside, *ring, *below]) if counted else None
        return LabelThreshold(self._cut(chosen.size), decided, counted, answers, held, recall, photographs)

    def _placed(self, answer: Answer) -> Answer:
        return lambda place: answer(int(self._order_N[place]))

    def _tested(self, precision: float, answer: Answer) -> tuple[_Tested | None, list[_Tested]]:
        """Return the last set that passed before one failed, and all sets that were tested."""
        if precision not in self._sizes:
            self._sizes[precision] = self.candidates(precision)
        sizes, before = self._sizes[precision]
        chosen: _Tested | None = None
        tested: list[_Tested] = []
        for size in sizes:
            tested.append(self._test(size, precision, answer, SEQUENCE))
            if not tested[-1].judged.passed:
                break
            chosen = tested[-1]
        if len(tested) == 1 and tested[0].judged.passed is False:
            for size in before:
                tested.append(self._test(size, precision, answer, RETREAT))
                if not tested[-1].judged.passed:
                    break
                chosen = tested[-1]
        return chosen, tested

    def candidates(self, precision: float) -> tuple[list[int], list[int]]:
        """Return the sizes of the sets of both sequences; known from the scores alone."""
        mean_N = np.cumsum(self._score_N, dtype=np.float64) / np.arange(1, len(self._score_N) + 1)
        sure = int(np.searchsorted(-mean_N, -(precision + MARGIN * (1 - precision)), side="right"))
        found = [self._whole(max(sure, SMALLEST))]
        while len(found) < SETS and found[-1] < len(self._score_N):
            found.append(self._whole(int(np.ceil(found[-1] * GROWTH))))
        return found, sorted({self._whole(found[0] // part) for part in (8, 4, 2)} - {0, found[0]})

    def _whole(self, size: int) -> int:
        """Return the size of a set with all photographs of its lowest score."""
        size = min(size, len(self._score_N))
        if not size:
            return 0
        return int(np.searchsorted(-self._score_N, -self._score_N[size - 1], side="right"))

    def _test(self, size: int, precision: float, answer: Answer, alpha: float) -> _Tested:
        failing, unknown = self._failing(size, precision)
        return _Tested(size, judge(self._prefix(0, size), answer, unknown, failing, alpha))

    def _failing(self, size: int, precision: float) -> tuple[int, int]:
        """Return how many wrong ones among those not known are too many, and how many are not known."""
        wrong, unknown = int(self._wrong_N[size - 1]), int(self._unknown_N[size - 1])
        return int(np.floor((1 - precision) * size + 1e-9)) + 1 - wrong, unknown

    def _prefix(self, low: int, high: int) -> NDArray[np.intp]:
        """Return the first places from `low` to `high` in the random order."""
        if (low, high) not in self._prefixes:
            inside = self._drawn[(self._drawn >= low) & (self._drawn < high)]
            self._prefixes[low, high] = inside[:NO_MORE]
        return self._prefixes[low, high]

    def _asked(self, tested: list[_Tested]) -> Iterator[int]:
        for size, judged in tested:
            yield from map(int, self._prefix(0, size)[: judged.answers])

    def _below(self, tested: list[_Tested]) -> list[tuple[int, int]]:
        """Return from where to where the strata below all tested sets reach, in the order of scores."""
        deepest = max(each.size for each in tested)
        if deepest not in self._strata:
            mass, size = np.cumsum(self._score_N[deepest:], dtype=np.float64), len(self._score_N)
            middle = min(deepest + int(np.searchsorted(mass, UPPER_MASS * mass[-1])) + 1, size) if len(mass) else size
            self._strata[deepest] = [each for each in ((deepest, middle), (middle, size)) if each[0] < each[1]]
        return self._strata[deepest]

    def _stratum(self, low: int, high: int, answer: Answer, answers: int) -> Stratum:
        """Return a stratum, judged by its first answers in the random order."""
        given = [each for place in self._prefix(low, high)[:answers] if (each := answer(int(place))) is not None]
        known_N = self._known_N[low:high]
        unknown, yes = int((known_N == UNKNOWN).sum()), int((known_N == 1).sum())
        return Stratum(unknown, len(given), sum(given), yes)

    def _ring(self, chosen: _Tested, deepest: _Tested, answer: Answer) -> list[Stratum]:
        """Return what lies between the chosen set and the deepest one, judged by the sample of the latter."""
        if chosen.size == deepest.size:
            return []
        drawn = self._prefix(0, deepest.size)[: deepest.judged.answers]
        return [self._stratum(chosen.size, deepest.size, answer, int((drawn >= chosen.size).sum()))]

    def _precision(self, promised: float, chosen: _Tested, inside: Stratum) -> Interval:
        estimate = inside.estimate / chosen.size
        if inside.answers == inside.size:
            return Interval(estimate, estimate, estimate)
        # for each set, and each look, since all of them may have been chosen
        tail = UPPER / ((SETS + 3) * len(SPENT))
        upper = upper_limit(inside.answers, inside.answers - inside.yes, tail)
        return Interval(estimate, promised, min(1.0, (inside.known + inside.size * upper) / chosen.size))

    def _cut(self, size: int) -> float:
        """Return the threshold half-way between the last score that is in and the first that is out."""
        below = float(self._score_N[size]) if size < len(self._score_N) else 0.0
        return (float(self._score_N[size - 1]) + below) / 2


def upper_limit(answers: int, wrong: int, tail: float) -> float:
    """Return Clopper and Pearson's upper limit of the share that is right; 1 where no answer was wrong."""
    # by bisection of the share that is wrong: at the limit so many or more are as likely as `tail`
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        fewer = sum(math.comb(answers, each) * middle**each * (1 - middle) ** (answers - each) for each in range(wrong))
        low, high = (low, middle) if 1 - fewer > tail else (middle, high)
    return 1 - low
