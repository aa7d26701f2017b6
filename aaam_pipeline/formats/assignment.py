"""Which labels an image gets, as annotations say it in their settings and thresholds. Loads no library."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# the threshold of a word that no image gets: scores end at 1
WITHHELD = 2.0
# `settings["thresholds"]` of annotations whose thresholds are a person's, and not their model's
OWN = "own"


class Assignment(NamedTuple):
    """Labels are assigned from a threshold on, `top` at most; best first, ties by label order.

    `threshold`: one for all labels; `thresholds`: a person's own, one a label (`WITHHELD`: never); else the model's.
    With `top` alone an image gets its `top` best labels whatever their scores, as in the paper's protocol.
    """

    top: int | None = None
    threshold: float | None = None
    thresholds: tuple[float, ...] | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any], thresholds: Sequence[float]) -> "Assignment":
        """Return by what annotations of such settings and thresholds (of their manifest) were labelled."""
        own = tuple(thresholds) if settings.get("thresholds") == OWN else None
        return cls(settings.get("top"), settings.get("threshold"), own)

    def settings(self) -> dict[str, Any]:
        """Return what the manifest's settings say."""
        own = {"thresholds": OWN} if self.thresholds is not None else {}
        return {"top": self.top, "threshold": self.threshold} | own

    @property
    def takes_the_models(self) -> bool:
        """Return whether the model's own thresholds decide."""
        return self == Assignment()

    def limits(self, models: Sequence[float]) -> list[float]:
        """Return the score (L,) from which each label is assigned; `models`: the model's own thresholds (L,)."""
        if self.threshold is not None:
            return [self.threshold] * len(models)
        if self.thresholds is not None:
            return list(self.thresholds)
        return list(models) if self.top is None else [0.0] * len(models)

    def described(self) -> str:
        """Return in words what decides."""
        at_most = "" if self.top is None else f", at most {self.top}"
        if self.threshold is not None:
            return f"the threshold {self.threshold:g}{at_most}"
        if self.thresholds is not None:
            return f"thresholds of their own{at_most}"
        return "the model's thresholds" if self.top is None else f"the {self.top} best"
