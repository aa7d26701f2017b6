"""How well a model knows each of its words: with how many images it learned them, and how it did on others.

A bundle holds this, and annotations and indexes that were made with it: who searches for a word hears of its weakness.
"""

from collections.abc import Sequence

import msgspec

from aaam_pipeline.core.text import counted

# below this average precision on validation images, most of a word's first hits are wrong; a word that is marked so by
# few images is rightly marked as often as others, five times in six (`python -m benchmarks.words`)
LEAST_AP = 0.3
# of fewer validation images that show a word, one alone decides its average precision
FEWEST_VAL = 3
# fewer training images than these teach a word badly, whatever a few validation images say
FEWEST_TRAIN = 10
# words that a note names; of more the number is said
NAMED = 3


class WordSupport(msgspec.Struct, frozen=True):
    """Of one label: images that are known to show it (yes) and not to (no), unknown ones not counted.

    `ap`: average precision on the validation images where it is known, in [0, 1]; None where none of these shows it.
    """

    train_yes: int
    train_no: int
    val_yes: int
    val_no: int
    ap: float | None = None


def weakness(word: WordSupport) -> str:
    """Say in one phrase why a word is known badly; "" where it is not.

    The line: an average precision below `LEAST_AP`, fewer than `FEWEST_VAL` validation images to judge by, or fewer
    than `FEWEST_TRAIN` training images.
    """
    if word.train_yes < FEWEST_TRAIN:
        return f"learned from {_photographs(word.train_yes)}"
    if word.ap is None or word.val_yes < FEWEST_VAL:
        return f"judged by {_photographs(word.val_yes, 'validation ')}"
    if word.ap < LEAST_AP:
        return f"AP {word.ap:.2f} on {_photographs(word.val_yes, 'validation ')}"
    return ""


def weaknesses(labels: Sequence[str], words: Sequence[WordSupport]) -> dict[str, str]:
    """Return the labels that are known badly, each with why; none where nothing is known of the words."""
    return {label: why for label, word in zip(labels, words, strict=False) if (why := weakness(word))}


def notes(labels: Sequence[str], weak: dict[str, str]) -> list[str]:
    """Return a line for each of some labels that is known badly; of many, the number of the others."""
    found = [label for label in labels if label in weak]
    said = [f"{label!r} is a word this model knows badly: {weak[label]}" for label in found[:NAMED]]
    if more := len(found[NAMED:]):
        others = "one more word of this query is" if more == 1 else f"{more} more words of this query are"
        said.append(f"{others} known badly: aaam-pipe labels marks them")
    return said


def _photographs(count: int, kind: str = "") -> str:
    noun = f"{kind}photograph"
    return counted(count, noun) if count else f"no {noun}s"
