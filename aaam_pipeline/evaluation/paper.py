"""The numbers that the AAAM paper prints in its Tables 1 to 4, and which of our methods each of its rows is."""

from functools import cache
from importlib.resources import files

import msgspec

METRICS = ("precision_at_k", "recall_at_k", "map_at_10", "map")


class PhaseTitles(msgspec.Struct, frozen=True):
    """How the scores of a phase are called: `title`, or `plain` for a network without the attention layer."""

    title: str
    plain: str


class Printed(msgspec.Struct, frozen=True):
    """A data set of the paper: its column of Table 1, and the rows of its own table (Table 2, 3 or 4) in percent.

    `mean` and `range` are of the labels an image; a row has the four metrics of `METRICS`, None: not reported.
    """

    title: str
    table: int
    k: int
    images: int
    labels: int
    train: int
    test: int
    mean: float
    range: tuple[int, int]
    rows: dict[str, tuple[float | None, float | None, float | None, float | None]]


class Paper(msgspec.Struct, frozen=True):
    """All of it; `methods` and `phases` are name -> row, `methods` in the order of the paper's rows."""

    columns: tuple[str, ...]
    methods: dict[str, str]
    phases: dict[str, PhaseTitles]
    datasets: dict[str, Printed]
    aliases: dict[str, str]

    def printed(self, dataset: str) -> Printed | None:
        """Return what is printed about a data set, or None if the paper has none of this name."""
        return self.datasets.get(self.aliases.get(dataset, dataset))

    def titles(self, dataset: str) -> list[str]:
        """Return the rows of a data set's table in order; of a data set that is not in the paper all that it has."""
        if own := self.printed(dataset):
            return list(own.rows)
        somewhere = {title for each in self.datasets.values() for title in each.rows}
        return [title for title in self.methods.values() if title in somewhere]


@cache
def paper() -> Paper:
    """Return the printed numbers."""
    return msgspec.yaml.decode((files(__package__) / "paper.yaml").read_bytes(), type=Paper)
