"""Sound libraries pass, and each fault that was put in is found by the check that is for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from curation.array_library import ArrayLibrary, decided
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.health import LIMITS, HealthCheck, check
from aaam_pipeline.curation.library_counts import count
from aaam_pipeline.curation.snapshots import (
    HealthRecord,
    LibrarySnapshot,
    earlier,
    read_record,
    record_path,
    remember,
)
from aaam_pipeline.formats.decisions import Decisions, resolve

NOTHING = resolve([])
Scores = NDArray[np.float64]


def scores(count: int, seed: int, labels: int = 12) -> Scores:
    chance = np.random.default_rng(seed)
    shape_L = np.linspace(0.3, 3, labels)
    return chance.beta(0.3, shape_L, (count, labels))


def snapshot(score_NL: Scores, build: str = "now", **facts: int) -> LibrarySnapshot:
    labels = ArrayLibrary(score_NL).labels
    numbers = {"failed": 0, "judged": len(score_NL), "unfamiliar": len(score_NL) // 50} | facts
    return LibrarySnapshot(build=build, model_id="toy", labels=labels, images=len(score_NL), **numbers)


def checked(
    score_NL: Scores, decisions: Decisions = NOTHING, before: Scores | None = None, **facts: int
) -> dict[str, HealthCheck]:
    earlier_run = None
    if before is not None:
        earlier_run = count(ArrayLibrary(before), NOTHING, snapshot(before, "before"), NullReporter()).snapshot
    counts = count(ArrayLibrary(score_NL), decisions, snapshot(score_NL, **facts), NullReporter())
    return {each.name: each for each in check(counts, earlier_run)}


def failed(checks: dict[str, HealthCheck]) -> set[str]:
    return {name for name, each in checks.items() if not each.passed}


def truth_of(score_NL: Scores, seed: int) -> list[tuple[int, str, bool]]:
    """What a person says of 600 pairs, if the scores are calibrated."""
    chance = np.random.default_rng(seed)
    rows, labels = chance.integers(len(score_NL), size=600), chance.integers(score_NL.shape[1], size=600)
    shown = chance.random(600) < score_NL[rows, labels]
    return [(int(row), f"label {label}", bool(yes)) for row, label, yes in zip(rows, labels, shown, strict=True)]


@pytest.mark.parametrize("seed", range(25))
def test_a_sound_library_passes_every_check(seed: int) -> None:
    score_NL = scores(800, seed)
    whole = checked(score_NL, decided(truth_of(score_NL, seed)), before=scores(600, 1000 + seed))
    assert failed(whole) == set()
    grown = checked(np.concatenate([score_NL, scores(300, 2000 + seed)]), before=score_NL)
    assert failed(grown) == set()
    assert "300 added photographs" in grown["drift"].said


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("failures", lambda: checked(scores(800, 0), failed=200)),
        ("unfamiliar", lambda: checked(scores(800, 0), before=scores(800, 1), unfamiliar=200)),
        ("drift", lambda: checked(scores(800, 0) ** 3, before=scores(800, 1))),
        ("drift", lambda: checked(np.concatenate([scores(800, 1), scores(300, 0) ** 4]), before=scores(800, 1))),
        ("never-assigned", lambda: checked(scores(800, 0).clip(max=0.49))),
        ("calibration", lambda: checked(scores(800, 0) ** 4, decided(truth_of(scores(800, 0), 0)))),
    ],
)
def test_a_fault_is_found_by_its_check(name: str, made: Callable[[], dict[str, HealthCheck]]) -> None:
    assert name in failed(made())


def test_words_on_photographs_that_do_not_show_them() -> None:
    library = ArrayLibrary(scores(800, 0), threshold=0.05)
    counts = count(library, NOTHING, snapshot(library.scores_NL), NullReporter())
    found = next(each for each in check(counts, None) if each.name == "mostly-wrong")
    assert not found.passed
    assert found.findings[0].value < 0.5


def test_labels_that_come_together_otherwise_than_before() -> None:
    chance = np.random.default_rng(0)
    before, now = ((chance.random((2000, 2)) < 0.2) * 0.9 for _ in range(2))
    now[:, 1] = now[:, 0]
    found = checked(now, before=before)["together"]
    assert not found.passed
    assert found.findings[0].labels == ("label 0", "label 1")
    assert found.findings[0].value > 3


def test_keywords_that_are_wrong_or_forgotten_are_named() -> None:
    score_NL = np.array([[0.97, 0.001]] * 40 + [[0.001, 0.97]] * 40)
    tags = [(row, "label 0" if row < 40 else "label 1", True) for row in range(80)]
    assert failed(checked(score_NL, decided(tags, "file"))) == set()
    for row in range(10):
        tags[row] = (row, "label 1", True)
    checks = checked(score_NL, decided(tags, "file"))
    assert failed(checks) == {"wrong-keywords"}
    assert {(each.row, each.labels) for each in checks["forgotten-keywords"].findings} == {
        (row, ("label 0",)) for row in range(10)
    }
    assert {(each.row, each.labels) for each in checks["wrong-keywords"].findings} == {
        (row, ("label 1",)) for row in range(10)
    }
    # of what files say, nothing is known of how often the scores are right
    assert checks["calibration"].value is None


def test_a_run_is_compared_with_that_of_the_build_before(tmp_path: Path) -> None:
    path = record_path(tmp_path / "index")
    assert path == tmp_path / "index.health.json"
    assert read_record(path) is None
    one, two, three = (
        count(
            ArrayLibrary(scores(200, seed)), NOTHING, snapshot(scores(200, seed), f"build {seed}"), NullReporter()
        ).snapshot
        for seed in range(3)
    )
    remember(path, None, one)
    assert earlier(read_record(path), one) is None
    assert earlier(read_record(path), two) == one
    remember(path, read_record(path), two)
    content = path.read_bytes()
    # the same build again is compared with the same run, and nothing is written
    assert earlier(read_record(path), two) == one
    written = path.stat().st_mtime_ns
    remember(path, read_record(path), two)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, written)
    assert earlier(read_record(path), three) == two
    path.write_text(path.read_text().replace('"images": 200', '"images": 201'))
    with pytest.raises(IntegrityError):
        read_record(path)


def test_words_that_came_or_went_and_other_models_are_not_compared() -> None:
    before = snapshot(scores(200, 0))
    before = count(ArrayLibrary(scores(200, 0)), NOTHING, before, NullReporter()).snapshot
    record = HealthRecord(before)
    now = LibrarySnapshot("next", "toy", ["new", "label 3", "label 1"], 200, 0, 0, 0)
    found = earlier(record, now)
    assert found is not None
    assert found.labels == now.labels
    assert found.assigned == [0, before.assigned[3], before.assigned[1]]
    assert found.histogram()[0].sum() == 0
    assert found.pairs()[1, 2] == before.pairs()[1, 3]
    assert earlier(record, LibrarySnapshot("next", "other", now.labels, 200, 0, 0, 0)) is None


def test_every_check_has_a_limit() -> None:
    assert list(checked(scores(50, 0))) == list(LIMITS)
