"""Photographs of one's own for `aaam-pipe train`: read with their labels, and divided with rare words in each part.

Shapes: N photographs, L words.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from aaam_pipeline.core.errors import DatasetError, UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.folder import FolderParams, divide_by_content, read_folder
from aaam_pipeline.datasets.folder.splits import drawn, group_keys
from aaam_pipeline.datasets.listing import Example, Listing

# a word needs one photograph to learn from and another one
FEWEST = 2
SHARES = {"test": 0.2, "val": 0.2}
# draws of the splits, of which the best is taken
DRAWS = 50
# below this part of the photographs, those without any of the words are too few to learn what is none of them
FEWEST_WITHOUT = 0.1
NAMED = 5


class OwnData(NamedTuple):
    """Photographs and labels: `labels` is a table, `folders` (their names) or `keywords`; else as in `FolderParams`."""

    folder: Path
    labels: Path | Literal["folders", "keywords"]
    splits: Path | None = None
    unlisted: Literal["no", "unknown"] | None = None


def read_listing(data: OwnData, name: str, seed: int, report: Reporter) -> Listing:
    """Return the photographs with labels and splits, so divided that every word has one to learn from.

    Raises:
        UsageError: there is no such folder.
        DatasetError: as `read_folder`; or a word has fewer than `FEWEST` photographs, or none to learn from.
    """
    if not data.folder.is_dir():
        raise UsageError(f"no folder {data.folder}")
    labels = data.labels if isinstance(data.labels, str) else str(data.labels.absolute())
    params = FolderParams(
        root=str(data.folder),
        labels=labels,
        splits=str(data.splits.absolute()) if data.splits else None,
        unlisted=data.unlisted,
        val=SHARES["val"],
        test=SHARES["test"],
        seed=seed,
    )
    # with a table of splits, what it leaves to be drawn is drawn as in a data set
    listing = read_folder(name, params, report, divide_by_content if data.splits else _balanced, "give --unlisted no")
    held = Counter(word for each in listing.splits.values() for example in each for word in example.labels)
    if few := [word for word in listing.labels if held[word] < FEWEST]:
        raise DatasetError(
            f"{labels}: fewer than {FEWEST} photographs have {some(few)}: label more of them, or leave out the word"
        )
    if missing := [word for word in listing.labels if not shown(listing, "train")[word]]:
        source = data.splits or labels
        raise DatasetError(f"{source}: no photograph to learn {some(missing)} from is left beside those that test")
    counts = ", ".join(f"{len(examples)} {split}" for split, examples in listing.splits.items())
    report.info(f"{name}: {len(listing.labels)} words; photographs: {counts}")
    examples = [each for split in listing.splits.values() for each in split]
    if warning := few_without(sum(not each.labels for each in examples), len(examples)):
        report.info(warning)
    return listing._replace(note="")


def _balanced(examples: Sequence[Example], shares: dict[str, float], seed: int, report: Reporter) -> list[str]:
    """Return the best of many draws of the splits: where the rarest words are in each in fair shares.

    Copies of a photograph stay in one split.
    """
    keys = group_keys([example.path for example in examples], report)
    column_of = {word: column for column, word in enumerate(sorted({w for each in examples for w in each.labels}))}
    held_NL = np.zeros((len(examples), len(column_of)))
    for row, example in enumerate(examples):
        held_NL[row, [column_of[word] for word in example.labels]] = 1
    wanted = {"train": 1 - sum(shares.values()), **shares}
    best: tuple[float, list[str]] | None = None
    for draw in range(DRAWS):
        split_N = drawn(keys, shares, seed + draw)
        inside = {split: np.array([each == split for each in split_N]) for split in wanted}
        # what is missing of a fair share, as a part of it: of each word, and of all photographs
        lack = sum(
            float(np.clip(1 - held_NL[rows].sum(0) / (share * held_NL.sum(0)), 0, 1).sum())
            + max(0.0, 1 - rows.mean() / share)
            for split, share in wanted.items()
            for rows in [inside[split]]
        )
        lack += len(column_of) * float((held_NL[inside["train"]].sum(0) == 0).sum())
        if best is None or lack < best[0]:
            best = lack, split_N
    assert best
    return best[1]


def few_without(without: int, photographs: int) -> str | None:
    """Return what to say where too few of the photographs are without all words, or None.

    A model that never saw such a photograph finds its words on every one, and those that test it do not show that.
    """
    if without >= FEWEST_WITHOUT * photographs:
        return None
    every = f"nearly every photograph has one of the words ({without} of {photographs} have none)"
    return (
        f"{every if without else 'every photograph has one of the words'}; add photographs that show none of them, or "
        "the words will be found everywhere"
    )


def shown(listing: Listing, *splits: str) -> Counter[str]:
    """Return how many photographs of some splits have each word."""
    return Counter(word for split in splits for example in listing.splits[split] for word in example.labels)


def some(words: list[str]) -> str:
    """Return the first few, and how many more there are."""
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(map(repr, words[:NAMED])) + more
