"""What has changed, in numbers: of the inputs, and of the rows that are there."""

from typing import NamedTuple


class ChangeCounts(NamedTuple):
    """How many inputs are what, and how many rows have no input.

    `retried`: failed before, and tried again; `moved`, `copied`: served by the row of a file of the same content;
    `renamed`: also one of the others, below a place that `--root` names; `deleted`: the file is gone; `forgotten`:
    dropped by `--forget`; `outside`: stay, since this run does not ask for them; `missing`: stay although their files
    are not found, or are inputs that cannot be read.
    """

    new: int = 0
    changed: int = 0
    retried: int = 0
    moved: int = 0
    copied: int = 0
    kept: int = 0
    renamed: int = 0
    deleted: int = 0
    forgotten: int = 0
    outside: int = 0
    missing: int = 0

    @property
    def todo(self) -> int:
        """How many are to be annotated."""
        return self.new + self.changed + self.retried

    @property
    def changes(self) -> int:
        """How many rows will be other ones than before."""
        return self.todo + self.moved + self.copied + self.renamed + self.deleted + self.forgotten

    def __str__(self) -> str:
        """Return it in words, without what is zero."""
        words = {"outside": "not among the inputs", "missing": "not found"}
        counts = {words.get(name, name): count for name, count in self._asdict().items() if count}
        return ", ".join(f"{count} {name}" for name, count in counts.items())
