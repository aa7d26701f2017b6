"""How far a mean average precision may be from that of other images of the kind: bootstrap samples of the images.

Shapes: N images, L labels, R resamples.
"""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 200
# of a normal distribution, to both sides of the mean
DEVIATIONS_95 = 1.96


def resample(images: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """Return how often each image is in each sample of as many images, drawn with replacement, (R, N)."""
    counts_RN: NDArray[np.int64] = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=resamples
    )
    return counts_RN


def resampled_ap(
    scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], counts_RN: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the average precision of each label in each sample, (R, L); NaN where it cannot be judged there.

    `metrics.average_precision` of the rows of a sample, but sorted once for all samples.
    """
    order_LN = np.argsort(-np.asarray(scores_NL.T, np.float64), axis=1, kind="stable")
    hits_LN, known_LN = (np.take_along_axis(each.T, order_LN, axis=1) for each in (targets_NL > 0, targets_NL >= 0))
    found = []
    for counts_N in counts_RN:
        times_LN = counts_N[order_LN]
        # every row of `times_LN` has the same sum, so what is repeated is a table again
        hits, known = (np.repeat(each.ravel(), times_LN.ravel()).reshape(each.shape) for each in (hits_LN, known_LN))
        precision = hits.cumsum(1) / np.maximum(known.cumsum(1), 1)
        positives_L, known_L = hits.sum(1), known.sum(1)
        judged_L = (positives_L > 0) & ((known_L > positives_L) | known.all(1))
        ap_L = (precision * hits).sum(1) / np.maximum(positives_L, 1)
        found.append(np.where(judged_L, ap_L, np.nan))
    return np.stack(found)


def sample_means(ap_RL: NDArray[np.float64], labels_L: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean over some labels in each sample, (R,); NaN where none of them can be judged."""
    chosen = ap_RL[:, labels_L]
    count_R = (~np.isnan(chosen)).sum(1)
    return np.where(count_R > 0, np.nansum(chosen, axis=1) / np.maximum(count_R, 1), np.nan)


def margin(means_R: NDArray[np.float64]) -> float:
    """Return half of the 95 % interval around a mean, given what it is in each sample: 1.96 of their deviations.

    Not their quantiles: an image that is drawn twice makes a rare label look better than it is.
    """
    return DEVIATIONS_95 * float(np.nanstd(means_R))
