"""One word from examples: a line of the unit embedding, fitted in closed form to a few photographs.

Shapes: Y photographs that show the word, M that do not, U unlabelled ones, D embedding, F folds.

    w = (C + RIDGE / Y I)^-1 (m - m_U)

m is the mean of the examples, m_U and C mean and covariance of unlabelled photographs of the library, in units in which
its mean variance is 1. Without the ridge that is linear discriminant analysis with a background (Hariharan, Malik and
Ramanan, "Discriminative Decorrelation for Clustering and Classification", 2012; Fisher 1936). The ridge is that of a
normal prior of w, whose weight against the noise of a mean of Y examples falls with Y: few examples give nearly the
difference of means, many the full discriminant. Photographs that do not show the word, though they are like it, are
zeros of the same regression: `_direction`.

What is measured is measured in cross-validation: an example is judged by a line that did not see it, among the
unlabelled. Of these, an unknown share shows the word, too. `Judgement` bounds it: examples alone from below, from above
what the scores allow (Blanchard, Lee and Scott 2010).

The calibration is that of positive-unlabelled learning (du Plessis, Niu and Sugiyama 2015): with the logistic loss and
that share it is convex, and has two numbers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats.calibration import sigmoid

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
HOW = "discriminant with a background"

LEAST_EXAMPLES = 3
"""Of fewer, cross-validation cannot tell a word from chance."""
# chosen on half of the words of the benchmark `teach`; the others are reported
RIDGE = 200.0
FOLDS = 10
# by how much examples may miss their target, in units of the mean variance of an example under the prior
NOISE = 3.0
# standard deviations above chance that the ranks of held-out examples must have: of words of random photographs, 1 to 5
# in 100 have it (the benchmark says it)
LEAST_Z = 2.5
DRAWS, COVERED = 400, 0.9
STEPS = 100


class Prevalence(NamedTuple):
    """Which share of the library is taken to show a word: `place` on a log scale between its bounds, from 0 to 1.

    `reached`: of the examples, those that must reach a score for it to bound the share from above.
    """

    place: float
    reached: float


# chosen so that on the words that chose the constants the interval holds what it says, with 5 and 12 examples
LIKELY, LEAST, MOST = Prevalence(0.7, 0.5), Prevalence(0.2, 0.5), Prevalence(1.0, 0.8)
# mean variance of unit embeddings, below which they differ by rounding alone
LEAST_VARIANCE = 1e-9


class UnlearnableError(AaamError):
    """No word can be learned from these examples."""


class Background:
    """What photographs look like that nobody chose: mean and covariance of a sample, in the axes of that covariance."""

    def __init__(self, unlabelled_UD: Floats) -> None:
        """Take unit embeddings of a random sample of the library (U, D).

        Raises:
            UnlearnableError: they are all equal.
        """
        self.mean_D = unlabelled_UD.mean(0)
        centred_UD = unlabelled_UD - self.mean_D
        covariance_DD = (centred_UD.T @ centred_UD).astype(np.float64) / len(unlabelled_UD)
        variance_D, axes_DD = np.linalg.eigh(covariance_DD)
        if variance_D.mean() < LEAST_VARIANCE:
            raise UnlearnableError("no word can be learned here: the photographs of the library are all alike")
        self.scale = float(np.sqrt(variance_D.mean()))
        self.variance_D = np.maximum(variance_D / self.scale**2, 0).astype(np.float32)
        self.axes_DD = axes_DD.astype(np.float32)
        self.sample_UD = self.inside(unlabelled_UD)

    def inside(self, unit_ND: Floats) -> Floats:
        """Return unit embeddings in the coordinates of the background: its mean is 0, its mean variance 1."""
        found_ND: Floats = ((np.asarray(unit_ND, np.float32) - self.mean_D) @ self.axes_DD) / np.float32(self.scale)
        return found_ND

    def outside(self, direction_D: Floats) -> tuple[Floats, float]:
        """Return weights of unit embeddings, and a bias, that give the products of `inside` with a direction."""
        weight_D: Floats = (self.axes_DD @ direction_D) / np.float32(self.scale)
        return weight_D, -float(self.mean_D @ weight_D)


class Judgement(NamedTuple):
    """How well a word is told from others, by cross-validation.

    `z`: standard deviations by which held-out examples rank above chance; `ap`, `low`, `high`: average precision and
    its interval; `share`: of the library that shows the word, as far as the scores say.
    """

    z: float
    ap: float
    low: float
    high: float
    share: float


class Fit(NamedTuple):
    """A word that was learned: score = sigmoid(weight_D . unit embedding + bias); assigned from `threshold` on."""

    weight_D: Floats
    bias: float
    threshold: float
    judgement: Judgement


def fit(background: Background, yes_YD: Floats, no_MD: Floats, keep_U: NDArray[np.bool_] | None = None) -> Fit:
    """Learn a word from unit embeddings of photographs that show it, and of some that do not.

    `keep_U`: which of the library's sample are unlabelled, and none of the examples.

    Raises:
        UnlearnableError: there are too few examples, or cross-validation tells them from nothing.
    """
    if len(yes_YD) < LEAST_EXAMPLES:
        raise UnlearnableError(
            f"cannot be learned from {counted(len(yes_YD), 'photograph')}: it takes {LEAST_EXAMPLES}; until then, "
            "aaam-pipe similar PHOTO finds what looks like one"
        )
    yes_YD, no_MD = background.inside(yes_YD), background.inside(no_MD)
    unlabelled_UD = background.sample_UD if keep_U is None else background.sample_UD[keep_U]
    held_Y = _held_out(background, yes_YD, no_MD, unlabelled_UD)
    direction_D = _direction(background, yes_YD, no_MD)
    score_U = (unlabelled_UD @ direction_D).astype(np.float64)
    mean, spread = score_U.mean(), max(score_U.std(), 1e-12)
    found = judge(held_Y, (score_U - mean) / spread)
    if found.z < LEAST_Z:
        raise UnlearnableError(
            "cannot be learned from these examples: in cross-validation each is found no better among other "
            "photographs than chance would; name more of them, or such that show it more clearly"
        )
    slope, offset = calibrate(held_Y, (score_U - mean) / spread, found.share)
    weight_D, bias = background.outside(direction_D)
    line = (weight_D * (slope / spread)).astype(np.float32), float((bias - mean) * slope / spread + offset)
    threshold = best_threshold(sigmoid(slope * (score_U - mean) / spread + offset))
    return Fit(*line, threshold, found)


def _direction(background: Background, yes_YD: Floats, no_MD: Floats) -> Floats:
    """Return the direction (D,) of a word, in the coordinates of the background, where its mean is 0.

    With photographs that do not show it: the regression that gives 1 for the others and 0 for these, under the prior
    (C + ridge)^-1, of which the discriminant is the limit of much noise.
    """
    prior_D = 1 / (background.variance_D + np.float32(RIDGE / len(yes_YD)))
    if not len(no_MD):
        return np.asarray(prior_D * yes_YD.mean(0), np.float32)
    examples_ED = np.concatenate([yes_YD, no_MD])
    targets_E = np.repeat([1.0, 0.0], [len(yes_YD), len(no_MD)])
    noise = NOISE * float((examples_ED**2 @ prior_D).mean())
    if len(examples_ED) > len(prior_D):
        # the same by the smaller of two systems
        squares_DD = (examples_ED.T @ examples_ED).astype(np.float64)
        right_D = targets_E.astype(np.float32) @ examples_ED
        return np.linalg.solve(squares_DD + noise * np.diag(1.0 / prior_D), right_D).astype(np.float32)
    kernel_EE = ((examples_ED * prior_D) @ examples_ED.T).astype(np.float64)
    dual_E = np.linalg.solve(kernel_EE + noise * np.eye(len(kernel_EE)), targets_E)
    return np.asarray(prior_D * (dual_E.astype(np.float32) @ examples_ED), np.float32)


def _held_out(background: Background, yes_YD: Floats, no_MD: Floats, unlabelled_UD: Floats) -> Wide:
    """Return the score of each example (Y,) by a line that did not see it, in standard deviations of the unlabelled."""
    folds = min(len(yes_YD), FOLDS)
    fold_Y, fold_M = (np.arange(len(each)) % folds for each in (yes_YD, no_MD))
    lines_FD = np.stack(
        [_direction(background, yes_YD[fold_Y != fold], no_MD[fold_M != fold]) for fold in range(folds)]
    )
    score_UF = unlabelled_UD @ lines_FD.T
    mean_F, spread_F = score_UF.mean(0), np.maximum(score_UF.std(0), 1e-12)
    held_Y = np.einsum("yd,yd->y", yes_YD, lines_FD[fold_Y])
    return np.asarray((held_Y - mean_F[fold_Y]) / spread_F[fold_Y], np.float64)


def judge(held_Y: Wide, score_U: Wide) -> Judgement:
    """Say how well held-out examples are told from unlabelled photographs, by the scores of both."""
    sorted_U = np.sort(score_U)
    above_Y = _above(sorted_U, held_Y)
    z = float(np.sqrt(12 * len(held_Y)) * (0.5 - above_Y.mean() / len(score_U)))
    share, ap = _precision(np.sort(held_Y)[::-1], sorted_U, LIKELY)
    random = np.random.default_rng(0)
    drawn = np.sort(random.choice(held_Y, (DRAWS, len(held_Y))), axis=1)[:, ::-1]
    least, most = ([_precision(each_Y, sorted_U, taken)[1] for each_Y in drawn] for taken in (LEAST, MOST))
    low, high = np.quantile(least, (1 - COVERED) / 2), np.quantile(most, (1 + COVERED) / 2)
    return Judgement(z, ap, min(float(low), ap), max(float(high), ap), share)


def _precision(held_Y: Wide, sorted_U: Wide, taken: Prevalence) -> tuple[float, float]:
    """Return the share of unlabelled photographs that show the word, and the average precision for it.

    `held_Y`: best first.
    """
    examples, unlabelled = len(held_Y), len(sorted_U)
    above_Y = _above(sorted_U, held_Y)
    reached_Y = (np.arange(examples) + 0.5) / examples
    least = examples / (examples + unlabelled)
    # at every score: the share is at most that of the unlabelled above it, divided by that of the examples
    bounds_Y = (above_Y + 1) / unlabelled / reached_Y
    most = max(min(1.0, bounds_Y[reached_Y >= taken.reached].min()), least)
    share = most**taken.place * least ** (1 - taken.place)
    right_Y = share * unlabelled * np.arange(1, examples + 1) / examples
    return share, float((right_Y / np.maximum(above_Y, right_Y)).mean())


def _above(sorted_U: Wide, held_Y: Wide) -> NDArray[np.intp]:
    """Return how many unlabelled photographs score at least as high as each example, (Y,)."""
    found_Y: NDArray[np.intp] = len(sorted_U) - np.searchsorted(sorted_U, held_Y, side="left")
    return found_Y


def calibrate(held_Y: Wide, score_U: Wide, share: float) -> tuple[float, float]:
    """Return slope and offset that make probabilities of scores, by Newton's method.

    They minimise mean_U log(1 + exp(a s + b)) - share mean_Y (a s + b), the unbiased risk of positive-unlabelled
    learning under the logistic loss: in the mean, `share` of the unlabelled get the word.
    """
    line_2 = np.array([1.0, np.log(share / (1 - share)) - 1])
    target_2 = share * np.array([held_Y.mean(), 1.0])
    # a weak prior: of perfectly separated scores the slope has no end
    weight_2 = np.array([1e-4, 0.0])
    for _ in range(STEPS):
        chance_U = sigmoid(line_2[0] * score_U + line_2[1])
        gradient_2 = np.array([(chance_U * score_U).mean(), chance_U.mean()]) - target_2 + weight_2 * line_2
        curve_U = chance_U * (1 - chance_U)
        cross = (curve_U * score_U).mean()
        curve_22 = np.array([[(curve_U * score_U**2).mean(), cross], [cross, curve_U.mean()]]) + np.diag(weight_2)
        step_2 = np.linalg.solve(curve_22 + 1e-12 * np.eye(2), gradient_2)
        # never further than the scale of a logit: far away the loss is flat
        step_2 *= min(1.0, 1.0 / max(np.abs(step_2).max(), 1e-12))
        line_2 = line_2 - step_2
        if np.abs(step_2).max() < 1e-8:
            break
    return float(max(line_2[0], 1e-3)), float(line_2[1])


def best_threshold(chance_U: Wide) -> float:
    """Return the threshold of the best expected F1: half of that F1 (Lipton, Elkan and Naryanaswamy 2014)."""
    sorted_U = np.sort(chance_U)[::-1]
    f1_U = 2 * sorted_U.cumsum() / (np.arange(1, len(sorted_U) + 1) + sorted_U.sum())
    return float(np.clip(f1_U.max() / 2, 0.05, 0.5))
