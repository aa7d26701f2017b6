"""What a trained network's bundle gets besides its weights: the runtime form, what is known of each word, familiarity.

Shapes: N validation images, L labels.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.formats import familiarity
from aaam_pipeline.formats.familiarity import Familiarity
from aaam_pipeline.formats.parts import round_embedding
from aaam_pipeline.formats.words import WordSupport
from aaam_pipeline.models.info import familiarity_of, read_info
from aaam_pipeline.models.runtime_form import FormMaker, FormRequest, LabelledImages
from aaam_pipeline.training.predict import SplitPredictions
from aaam_pipeline.training.state import TrainJob


def form_maker(job: TrainJob) -> FormMaker | None:
    """Return what makes the runtime form; before the training, so that a missing package is said then.

    int8 is measured on validation. Without it, the form is that of the network that was validated, which was trained
    alike; else fp32.

    Raises:
        UsageError: a package is missing.
    """
    chosen = job.settings.train.runtime_form
    if chosen == "none":
        return None
    training_NSS3 = job.train.pixels_NSS3
    if job.val:
        labelled = LabelledImages(job.val.pixels_NSS3, job.val.targets_NL, metrics.evaluate)
        return FormMaker(FormRequest(chosen), training_NSS3, labelled, job.report)
    like = job.validated.runtime if job.validated else None
    if like is None and chosen == "auto":
        chosen = "fp32"
    return FormMaker(FormRequest(chosen), training_NSS3, report=job.report, like=like)


def familiarity_with(found: Mapping[str, SplitPredictions], validated: Path | None = None) -> Familiarity | None:
    """Return how pictures are told that are unlike those of training, by the embeddings of training and validation.

    Where nothing was held out, "far" is what it is in the bundle `validated`, whose network was trained alike. None
    where there is neither.
    """
    train_ND = round_embedding(found["train"].embedding_ND)
    if "val" in found:
        return familiarity.fit(train_ND, round_embedding(found["val"].embedding_ND))
    before = familiarity_of(validated, read_info(validated)) if validated else None
    return before and Familiarity(familiarity.centroids(train_ND), before.threshold)


def word_facts(job: TrainJob, scores_NL: NDArray[np.float32] | None) -> list[WordSupport]:
    """Return what is known of each word: training images, and from the scores of validation images how good it is.

    Without scores, what the validated network's bundle says of validation is taken.
    """
    train_yes, train_no = _counts(job.train.targets_NL)
    if job.val and scores_NL is not None:
        yes, no = _counts(job.val.targets_NL)
        ap_L = metrics.average_precision(scores_NL, job.val.targets_NL).tolist()
        judged = [(*each, round(ap, 4) if each[0] else None) for *each, ap in zip(yes, no, ap_L, strict=True)]
    elif job.validated and job.validated.words:
        judged = [(word.val_yes, word.val_no, word.ap) for word in job.validated.words]
    else:
        judged = [(0, 0, None)] * len(job.labels)
    return [WordSupport(*numbers) for numbers in zip(train_yes, train_no, *zip(*judged, strict=True), strict=True)]


def _counts(targets_NL: NDArray[np.integer]) -> tuple[list[int], list[int]]:
    """Return in how many images each label is, and in how many it is known not to be."""
    yes, no = ((targets_NL == value).sum(0).tolist() for value in (1, 0))
    return yes, no
