"""What every compared method is: scikit-learn's contract for an estimator, over image features.

Shapes: N training images, M images to be scored, D features, L labels.

A method is made with hyper-parameters only, all of which have a default and are kept under their own name; `fit`
learns from features and labels and forgets what was learnt before; `predict_scores` gives every label of every image a
score. What is learnt ends in an underscore, as in scikit-learn, whose `clone` works on a method.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import DatasetError, UsageError
from aaam_pipeline.formats.targets import UNKNOWN

Features = NDArray[np.float32]
Targets = NDArray[np.int8]
Scores = NDArray[np.float32]
Wide = NDArray[np.float64]
# rows of memory-mapped features that are looked at together: 64 MB of VGG16's
BLOCK = 4096
REFUSAL = "needs training images of which every label is known; here some are unknown"


class Method(ABC):
    """A method: subclasses declare keyword arguments in `__init__`, and write `_fit` and `_scores`.

    `grid`: what `tune: true` tries, hyper-parameter -> values. `ordered`: whether the order of the training images
    may change the scores (methods that draw batches of them); without it they are the same but for rounding.
    `partial_labels`: whether labels may be unknown (-1) in training; a method without it refuses them.
    """

    grid: ClassVar[dict[str, list[Any]]] = {}
    ordered: ClassVar[bool] = False
    partial_labels: ClassVar[bool] = False

    dimension_: int
    labels_: int

    @property
    def title(self) -> str:
        """Return what messages call the method."""
        return type(self).__name__

    def _names(self) -> list[str]:
        return list(inspect.signature(type(self)).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyper-parameters; `deep` is scikit-learn's and changes nothing here."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters.

        Raises:
            UsageError: there is none of this name.
        """
        check_names(self.title, params, self._names())
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def with_params(self, params: dict[str, Any]) -> Self:
        """Return another method, not fitted, that differs in these hyper-parameters."""
        return type(self)(**self.get_params() | params)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{self.title}({shown})"

    def plan(self, images: int, dimension: int, labels: int) -> str:
        """Return a line on what `fit` will need or approximate for training data of this size; "": nothing to say."""
        return ""

    def fit(self, features_ND: Features, targets_NL: Targets) -> Self:
        """Learn from float32 features, memory-mapped or not, and labels of the same images: 1, 0, or -1 for unknown.

        Raises:
            DatasetError: no image, no label, labels that are none of 1, 0 and -1, features that are not finite.
            UsageError: arrays of another shape, or hyper-parameters that do not fit.
            UsageError: a label is unknown, and the method takes no such labels.
        """
        check_features(features_ND, "training features")
        _check_targets(targets_NL, len(features_ND))
        if not self.partial_labels and (targets_NL == UNKNOWN).any():
            raise UsageError(f"{self.title} {REFUSAL}")
        self.dimension_, self.labels_ = features_ND.shape[1], targets_NL.shape[1]
        self._fit(features_ND, targets_NL)
        return self

    def predict_scores(self, features_MD: Features) -> Scores:
        """Return scores of all labels, float32 (M, L), finite; the larger, the likelier.

        They are probabilities where the method has any, else numbers that compare between images and labels.

        Raises:
            UsageError: the method was not fitted, or the features are of another model.
            DatasetError: they are not finite.
        """
        if not hasattr(self, "labels_"):
            raise UsageError(f"{self.title} was not fitted: call fit first")
        check_features(features_MD, "features", empty=True)
        if features_MD.shape[1] != self.dimension_:
            raise UsageError(
                f"features of another model: {features_MD.shape[1]} numbers an image, fitted to {self.dimension_}"
            )
        scores_ML = np.empty((len(features_MD), self.labels_), np.float32)
        for features_BD, scores_BL in blocks(features_MD, scores_ML):
            scores_BL[:] = self._scores(np.ascontiguousarray(features_BD, np.float32))
        return scores_ML

    @abstractmethod
    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        """Learn from checked input; everything learnt before must be replaced."""

    @abstractmethod
    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        """Return the scores of one block of at most `BLOCK` images, (B, L)."""


def blocks(*arrays: NDArray[Any], rows: int | None = None) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield views of the same rows of several arrays, at most `rows` together, or `BLOCK`."""
    step = rows or BLOCK
    for first in range(0, len(arrays[0]), step):
        yield tuple(array[first : first + step] for array in arrays)


class Scale(NamedTuple):
    """Mean and deviation of each feature, (D,); the deviation of a constant feature is 1."""

    mean_D: Wide
    deviation_D: Wide

    def __call__(self, features_BD: Features) -> Features:
        """Return standardised features."""
        scaled: Features = ((features_BD - self.mean_D) / self.deviation_D).astype(np.float32)
        return scaled

    def folded(self, weights_DL: Wide, biases_L: Wide) -> tuple[Wide, Wide]:
        """Return the weights and biases that do to features what the given ones do to standardised features."""
        inner_DL = weights_DL / self.deviation_D[:, None]
        return inner_DL, biases_L - self.mean_D @ inner_DL


def standardisation(features_ND: Features) -> Scale:
    """Return mean and deviation of training features, in two passes over them."""
    mean_D: Wide = np.asarray(features_ND.mean(0, dtype=np.float64))
    squares_D = np.zeros_like(mean_D)
    for (block,) in blocks(features_ND):
        squares_D += np.square(block - mean_D).sum(0)
    deviation_D = np.sqrt(squares_D / len(features_ND))
    return Scale(mean_D, np.where(deviation_D > 0, deviation_D, 1))


def check_names(owner: str, params: dict[str, Any], known: list[str]) -> None:
    """Check that hyper-parameters exist.

    Raises:
        UsageError: one does not; the message has the nearest.
    """
    for name in params:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
            raise UsageError(f"{owner} has no parameter {name!r}; {hint}")


def check_features(features_ND: Features, what: str, *, empty: bool = False) -> None:
    """Check that features are a table of finite numbers; `what` names them, `empty`: no image is fine.

    Raises:
        UsageError: it is no table.
        DatasetError: there is no image or no feature, or a value that is not a finite number.
    """
    if features_ND.ndim != 2:
        raise UsageError(f"{what} must be images x features, not of shape {features_ND.shape}")
    if features_ND.dtype.kind != "f":
        raise UsageError(f"{what} must be floating-point numbers, not {features_ND.dtype}")
    if not features_ND.shape[1] or (not len(features_ND) and not empty):
        raise DatasetError(f"{what} hold nothing: {len(features_ND)} images x {features_ND.shape[1]} features")
    for first in range(0, len(features_ND), BLOCK):
        finite_B = np.isfinite(features_ND[first : first + BLOCK]).all(1)
        if not finite_B.all():
            row = first + int(finite_B.argmin())
            raise DatasetError(f"{what} hold NaN or infinity (first in row {row}): compute the features again")


def _check_targets(targets_NL: Targets, images: int) -> None:
    if targets_NL.ndim != 2 or len(targets_NL) != images:
        raise UsageError(f"labels must be images x labels for {images} images, not of shape {targets_NL.shape}")
    if not targets_NL.shape[1]:
        raise DatasetError("there is no label to learn")
    if not np.isin(targets_NL, (0, 1, UNKNOWN)).all():
        raise DatasetError(f"labels must be 0 or 1, or {UNKNOWN} where they are unknown")
    if not (targets_NL > 0).any():
        raise DatasetError("no training image has a label")
