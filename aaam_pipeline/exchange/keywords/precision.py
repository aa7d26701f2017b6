"""From which score on a label is written, so that such a share of its keywords is expected to be right.

Scores are calibrated probabilities, so the mean of the scores of what is written is the share that is expected to be
right (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 1). Shapes: L labels, B bins.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aaam_pipeline.formats.decisions import label_key

BINS = 4096
# scores are rounded to float32
ROUNDING = 1e-6


class Limits(NamedTuple):
    """The score from which each label is written, by its key; `withheld`: labels that no score is enough for."""

    of: dict[str, float]
    withheld: list[str]


def limits(tables: Iterable[pa.Table], precision: float) -> Limits:
    """Return the least score for each assigned label with which `precision` is expected; one pass, bounded memory."""
    counts: dict[str, NDArray[np.int64]] = {}
    sums: dict[str, NDArray[np.float64]] = {}
    for table in tables:
        labels = pc.list_flatten(table["labels"]).combine_chunks()
        scores = pc.list_flatten(table["label_scores"]).to_numpy()
        coded = labels.dictionary_encode()
        codes = coded.indices.to_numpy()
        for code, label in enumerate(coded.dictionary.to_pylist()):
            own = scores[codes == code].astype(np.float64)
            bins = np.minimum((own * BINS).astype(np.int64), BINS - 1)
            count, total = np.bincount(bins, minlength=BINS), np.bincount(bins, own, minlength=BINS)
            counts[label] = counts.get(label, 0) + count
            sums[label] = sums.get(label, 0.0) + total.astype(np.float64)
    found: dict[str, float] = {}
    withheld = []
    for label, count_B in counts.items():
        least = _least(count_B, sums[label], precision)
        if least is None:
            withheld.append(label)
        else:
            found[label_key(label)] = least
    return Limits(found, sorted(withheld))


def _least(count_B: NDArray[np.int64], sum_B: NDArray[np.float64], precision: float) -> float | None:
    """Return the lower end of the lowest bin such that scores from there on have a mean of `precision`, or None."""
    above_B, total_B = count_B[::-1].cumsum()[::-1], sum_B[::-1].cumsum()[::-1]
    good = np.flatnonzero((total_B >= (precision - ROUNDING) * above_B) & (above_B > 0))
    return None if not len(good) else float(good[0]) / BINS
