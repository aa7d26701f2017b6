"""`aaam-pipe health`: whether a library, its labels and what people decided of it look sound. For people, and at night.

Each check gives a number, and a limit that it may not pass; what it found, label by label, comes with it. The limits
are such that sound libraries pass none (`python -m benchmarks health`).

Shapes: N photographs, L labels, H intervals of scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.text import counted
from aaam_pipeline.curation import drift
from aaam_pipeline.curation.library_counts import LibraryCounts
from aaam_pipeline.curation.snapshots import LibrarySnapshot
from aaam_pipeline.metrics.calibration import calibration_error

LIMITS: dict[str, float] = {
    "failures": 0.1,
    "never-assigned": 0.05,
    "mostly-wrong": 0.05,
    "calibration": 0.1,
    # sound keywords of `everyday` make 0, with one in twenty replaced by another word 0.012
    "wrong-keywords": 0.01,
    "forgotten-keywords": 5,
    # of labels: three themes that are new to a library make 0.6, photographs of 40 x 30 pixels 0.9
    "drift": 0.75,
    "unfamiliar": 3,
    "together": 0.01,
}
"""What the number of each check may be at most."""
EXPECTED = 10.0
"""Photographs that must be expected of a word, by its scores, before it is odd that none has it."""
FEWEST = 20
"""Photographs that must have a label, or both of a pair, before anything is said of it."""
RIGHT = 0.5
"""Mean score of the photographs that have a label, below which most of these are wrong."""
EACH = 5
"""Decisions of each kind that a label needs, yes and no, before its scores are compared with them."""
SAMPLES = 200
DEVIATIONS, LIFT = 5.0, 3.0
"""By how much the lift of two labels must have changed to be odd: in deviations of its logarithm, and as a factor."""


class HealthLimitError(AaamError):
    """A check that must not fail passed its limit."""

    exit_code = 3


class HealthFinding(NamedTuple):
    """What was found of a label, or of two; of a photograph, too, if it has a row."""

    labels: tuple[str, ...]
    value: float
    said: str
    row: int | None = None


class HealthCheck(NamedTuple):
    """A check: its number (None: it could not be made), what it may be at most, what that means, what was found."""

    name: str
    value: float | None
    limit: float
    said: str
    findings: Sequence[HealthFinding] = ()

    @property
    def passed(self) -> bool:
        """Return whether the number is within its limit."""
        return self.value is None or self.value <= self.limit


def check(
    counts: LibraryCounts, before: LibrarySnapshot | None, limits: Mapping[str, float] = LIMITS
) -> list[HealthCheck]:
    """Return all checks, in the order of `LIMITS`; `before`: the run to compare with, None where there is none."""
    made = {each.name: each for each in [*_of_now(counts), *_keywords(counts), *_changes(counts.snapshot, before)]}
    return [made[name]._replace(limit=limits[name]) for name in LIMITS]


def _of_now(counts: LibraryCounts) -> Iterator[HealthCheck]:
    now = counts.snapshot
    inputs = now.images + now.failed
    yield _check("failures", now.failed / max(inputs, 1), f"{now.failed} of {counted(inputs, 'input')} failed")
    facts = list(zip(now.labels, now.assigned, counts.expected_L.tolist(), counts.sure_L.tolist(), strict=True))
    never = [
        HealthFinding((label,), expected, f"no photograph has it; by its scores {expected:.2g} show it")
        for label, assigned, expected, _ in facts
        if not assigned
    ]
    never.sort(key=lambda each: -each.value)
    odd = sum(each.value >= EXPECTED for each in never)
    said = f"{len(never)} of {counted(len(now.labels), 'label')} on no photograph, {odd} of them unexpectedly"
    yield _check("never-assigned", odd / len(now.labels), said, never)
    doubtful = [
        HealthFinding((label,), sure, f"on {assigned} photographs, of which {sure:.0%} show it by their scores")
        for label, assigned, _, sure in facts
        if assigned >= FEWEST and sure < RIGHT
    ]
    said = f"{counted(len(doubtful), 'label')} on photographs that mostly do not show it, by their scores"
    doubtful.sort(key=lambda each: each.value)
    yield _check("mostly-wrong", len(doubtful) / len(now.labels), said, doubtful)
    yield _calibration(counts)


def _calibration(counts: LibraryCounts) -> HealthCheck:
    """Compare scores with what persons decided, of labels that they said both yes and no to."""
    enough = [
        column
        for column, said_N in enumerate(counts.judged)
        if min(np.count_nonzero(said_N == 1), np.count_nonzero(said_N == 0)) >= EACH
    ]
    if not enough:
        return _check("calibration", None, f"no label with {EACH} decisions yes and {EACH} no")
    score_N, said_N = (
        np.concatenate([each[column] for column in enough]) for each in (counts.judged_scores, counts.judged)
    )
    error = calibration_error(score_N[:, None], said_N[:, None])
    # of sound scores it is above 0, too
    chance = np.random.default_rng(0)
    sound = [
        calibration_error(score_N[:, None], (chance.random(len(score_N)) < score_N)[:, None].astype(np.int8))
        for _ in range(SAMPLES)
    ]
    beyond = max(0.0, error - float(np.max(sound)))
    findings = []
    for column in enough:
        mean, share = float(counts.judged_scores[column].mean()), float(counts.judged[column].mean())
        said = f"{len(counts.judged[column])} decisions: {share:.0%} yes, by the scores {mean:.0%}"
        findings.append(HealthFinding((counts.snapshot.labels[column],), abs(mean - share), said))
    findings.sort(key=lambda each: -each.value)
    said = f"scores miss {counted(len(score_N), 'decision')} by {error:.3f}, {beyond:.3f} more than chance explains"
    return _check("calibration", beyond, said, findings)


def _keywords(counts: LibraryCounts) -> Iterator[HealthCheck]:
    kinds: tuple[tuple[str, bool, str, float], ...] = (
        (
            "wrong-keywords",
            True,
            f"{counts.wrong} of {counts.keywords} given labels are doubted, {counts.unexplained:.0f} more have a "
            "score of next to nothing than chance explains",
            counts.unexplained,
        ),
        (
            "forgotten-keywords",
            False,
            f"{counts.forgotten} labels were probably forgotten, {counts.keywords} given",
            counts.forgotten,
        ),
    )
    for name, given, said, number in kinds:
        findings = [
            HealthFinding(
                (each.label,), each.chance, "given, but unlikely" if given else "not given, but likely", each.row
            )
            for each in counts.doubted
            if each.given == given
        ]
        share = number / counts.keywords if counts.keywords else None
        yield _check(
            name, share, said if counts.keywords else "no decision says that a photograph shows a label", findings
        )


def _changes(now: LibrarySnapshot, before: LibrarySnapshot | None) -> Iterator[HealthCheck]:
    if before is None:
        for name in ("drift", "unfamiliar", "together"):
            yield _check(name, None, "no earlier run of this model to compare with")
        return
    histogram_LH, known_LH = now.histogram(), before.histogram()
    added_LH = histogram_LH - known_LH
    only_added = now.images - before.images >= drift.FEWEST and bool((added_LH >= 0).all())
    compared = f"{now.images - before.images} added photographs" if only_added else "all photographs"
    drift_L = drift.label_drift(known_LH, added_LH if only_added else histogram_LH)
    findings = [
        HealthFinding((now.labels[label],), float(drift_L[label]), f"population stability index {drift_L[label]:.2f}")
        for label in np.argsort(-drift_L, kind="stable")
        if drift_L[label] > 0
    ]
    said = f"scores of {len(findings)} of {counted(len(now.labels), 'label')} drifted, {compared} beside the last run"
    yield _check("drift", len(findings) / max(len(now.labels), 1), said, findings)
    yield _unfamiliar(now, before, only_added)
    yield _together(now, before)


def _unfamiliar(now: LibrarySnapshot, before: LibrarySnapshot, only_added: bool) -> HealthCheck:
    judged, unfamiliar = now.judged, now.unfamiliar
    if only_added:
        judged, unfamiliar = judged - before.judged, unfamiliar - before.unfamiliar
    if min(judged, before.judged) < drift.FEWEST or unfamiliar < 0:
        return _check("unfamiliar", None, "too few photographs to compare")
    share, earlier = unfamiliar / judged, before.unfamiliar / before.judged
    # a share of nothing has no ratio: one photograph more on both sides
    ratio = ((unfamiliar + 1) / (judged + 1)) / ((before.unfamiliar + 1) / (before.judged + 1))
    certain = drift.surprise(before.unfamiliar, before.judged, unfamiliar, judged) > DEVIATIONS
    said = f"{share:.1%} of photographs are unfamiliar to the model, {earlier:.1%} in the last run"
    return _check("unfamiliar", ratio if certain else min(ratio, 1.0), said)


def _together(now: LibrarySnapshot, before: LibrarySnapshot) -> HealthCheck:
    """Compare the lift of pairs of labels: how many times as often they come together as they would by chance."""
    lift_LL, variance_LL = _log_lift(now)
    earlier_LL, earlier_variance_LL = _log_lift(before)
    change_LL = lift_LL - earlier_LL
    deviation_LL = np.abs(change_LL) / np.sqrt(variance_LL + earlier_variance_LL)
    many_LL = np.maximum(now.pairs(), before.pairs()) >= FEWEST
    odd_LL = np.triu(many_LL & (deviation_LL > DEVIATIONS) & (np.abs(change_LL) > np.log(LIFT)), 1)
    findings = []
    for one, other in np.argwhere(odd_LL):
        more = change_LL[one, other] > 0
        factor = float(np.exp(abs(change_LL[one, other])))
        said = f"{factor:.1f} times as {'often' if more else 'seldom'} together as in the last run"
        findings.append(HealthFinding((now.labels[one], now.labels[other]), factor, said))
    findings.sort(key=lambda each: -each.value)
    pairs = int(np.triu(many_LL, 1).sum())
    said = f"{len(findings)} of {counted(pairs, 'pair')} of labels come together otherwise than in the last run"
    return _check("together", len(findings) / max(pairs, 1), said, findings)


def _log_lift(snapshot: LibrarySnapshot) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log(P(a, b) / P(a) P(b)) and its variance (delta method), both (L, L); half a photograph is added."""
    both_LL = snapshot.pairs() + 0.5
    assigned_L = np.asarray(snapshot.assigned) + 0.5
    lift_LL = np.log(both_LL * max(snapshot.images, 1) / np.outer(assigned_L, assigned_L))
    return lift_LL, 1 / both_LL + np.add.outer(1 / assigned_L, 1 / assigned_L)


def _check(name: str, value: float | None, said: str, findings: Sequence[HealthFinding] = ()) -> HealthCheck:
    return HealthCheck(name, value, LIMITS[name], said, findings)
