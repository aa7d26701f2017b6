"""What a comparison of methods leaves behind: `reports/<data set>/compare.json`."""

from typing import Any

import msgspec


class Trial(msgspec.Struct):
    """Hyper-parameters that were tried, and the criterion on validation."""

    params: dict[str, Any]
    value: float


class MethodResult(msgspec.Struct):
    """A method's metrics and what they cost.

    `params`: all its hyper-parameters; `trials`: those that were chosen from; `val`, `test`: of `metrics.evaluate`;
    `seconds_*`: of tuning, of one fit with the chosen hyper-parameters, and of predicting the test split; `peak_bytes`:
    the most memory that the process of fit and predict held, with the interpreter and the features it read; `plan`:
    what it said that it would need; `error`: why there are no results. `scaled`: as `test`, of scores divided by each
    label's maximum over the split `scaled_by`; `inputs`: a hash of features, labels and k.
    """

    name: str
    fingerprint: str
    params: dict[str, Any] = {}
    trials: list[Trial] = []
    val: dict[str, float] = {}
    test: dict[str, float] = {}
    seconds_tune: float = 0.0
    seconds_fit: float = 0.0
    seconds_predict: float = 0.0
    peak_bytes: int = 0
    plan: str = ""
    error: str = ""
    scaled_by: str = ""
    scaled: dict[str, float] = {}
    inputs: str = ""


class Comparison(msgspec.Struct):
    """All methods on the features of `model`, of `dimension` numbers; `k`: labels an image; `threads` of a process.

    `earlier`: methods whose rows an earlier run made, with other settings, code or libraries.
    """

    dataset: str
    k: int
    model: str
    dimension: int
    images: dict[str, int]
    threads: int
    methods: list[MethodResult]
    earlier: list[str] = []
