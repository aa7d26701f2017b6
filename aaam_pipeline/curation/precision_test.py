"""Is a set of photographs right about a word to a stated share? Exact, and with as few answers as the truth allows.

Photographs of the set are judged in random order. After n_0 answers without an error the set passes, after n_1 with at
most one, and so on: a group sequential test with the spending of the error rate fixed in advance (Lan and DeMets 1983).
Its error rate is computed exactly, by the chain of draws without replacement from a set that just misses the share, so
it holds for small sets, too; a set that is judged to its end is known.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# of the error rate, the share spent at the look that allows no error, one, two ...
SPENT = (0.4, 0.2, 0.14, 0.1, 0.08, 0.08)


class Judged(NamedTuple):
    """What the answers say of a set: `passed` (None: not decided yet), so many `answers`, `wrong` ones among them.

    `asks`: the photograph that is to be judged next, None where it is decided.
    """

    passed: bool | None
    answers: int
    wrong: int
    asks: int | None = None


@lru_cache(maxsize=4096)
def looks(size: int, failing: int, alpha: float) -> tuple[int, ...]:
    """Return after how many answers a set passes with no error, with at most one, ...; fewer where the set ends before.

    `size`: photographs to draw from; `failing`: how many wrong ones make the set fail. A set with just so many passes
    with a probability of at most `alpha`.
    """
    if failing > size:
        return (0,)
    # the probability of so many errors so far, not having passed
    chance_E: NDArray[np.float64] = np.zeros(len(SPENT))
    chance_E[0] = 1.0
    errors_E = np.arange(len(SPENT))
    allowed = np.cumsum(SPENT) * alpha
    found: list[int] = []
    spent = 0.0
    for drawn in range(size):
        wrong_E = np.clip((failing - errors_E) / (size - drawn), 0, 1)
        more_E = chance_E * wrong_E
        chance_E = chance_E - more_E
        chance_E[1:] += more_E[:-1]
        while len(found) < len(SPENT):
            passing = chance_E[: len(found) + 1].sum()
            if spent + passing > allowed[len(found)]:
                break
            spent += passing
            chance_E[: len(found) + 1] = 0
            found.append(drawn + 1)
        if len(found) == len(SPENT):
            break
    return tuple(found)


def judge(order: Iterable[int], answer: Callable[[int], bool | None], size: int, failing: int, alpha: float) -> Judged:
    """Return whether a set passes; `order`: its photographs in random order, `answer`: None where there is none yet."""
    if failing <= 0 or failing > size:
        return Judged(failing > size, 0, 0)
    limits = looks(size, failing, alpha)
    wrong = look = 0
    answers = 0
    for photograph in order:
        right = answer(photograph)
        if right is None:
            return Judged(None, answers, wrong, photograph)
        answers += 1
        wrong += not right
        if wrong >= failing or wrong >= len(SPENT):
            return Judged(False, answers, wrong)
        while look < len(limits) and limits[look] <= answers:
            if wrong <= look:
                return Judged(True, answers, wrong)
            look += 1
        if look == len(SPENT):
            return Judged(False, answers, wrong)
    return Judged(answers == size, answers, wrong)
