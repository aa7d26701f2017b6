"""Methods that other installed packages add by their entry points."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from baselines.toy_plugin import install

from aaam_pipeline import baselines
from aaam_pipeline.baselines.plugins import plugin_identity
from aaam_pipeline.baselines.tuning import tune
from aaam_pipeline.core.errors import AaamError, DatasetError, UsageError

FEATURES = np.array([[1, 0, 9], [0, 1, 9], [1, 1, 9]], np.float32)
TARGETS = FEATURES[:, :2].astype(np.uint8)
Install = Callable[[dict[str, str]], None]


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    return lambda entries: install(monkeypatch, tmp_path, entries)


def test_a_plug_in_is_created_like_any_other_method(packages: Install) -> None:
    packages({"scaled": "Scaled"})
    assert baselines.names() == (*baselines.NAMES, "scaled")
    method = baselines.create("scaled", factor=2.0)
    assert (repr(method), method.get_params()) == ("scaled(factor=2.0)", {"factor": 2.0})
    assert baselines.create("scaled").get_params() == {"factor": 1.0}
    assert (method.plan(3, 3, 2), method.fit(FEATURES, TARGETS)) == ("", method)
    scores = method.predict_scores(FEATURES)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, 2 * FEATURES[:, :2])
    with pytest.raises(UsageError, match="scaled has no parameter 'faktor'; did you mean 'factor'"):
        baselines.create("scaled", faktor=1)
    with pytest.raises(UsageError, match="scaled has no parameter 'faktor'"):
        method.set_params(faktor=1)
    assert method.set_params(factor=3).get_params() == {"factor": 3}


def test_its_grid_is_tried(packages: Install) -> None:
    packages({"scaled": "Scaled"})
    found = tune(baselines.create("scaled"), FEATURES, TARGETS, FEATURES, TARGETS, 1)
    assert [params for params, _ in found.tried] == [{"factor": -1.0}, {"factor": 1.0}]
    assert found.method.get_params() == {"factor": 1.0}


def test_its_input_is_checked_as_that_of_every_method(packages: Install) -> None:
    packages({"scaled": "Scaled"})
    with pytest.raises(UsageError, match="scaled was not fitted"):
        baselines.create("scaled").predict_scores(FEATURES)
    with pytest.raises(DatasetError, match="NaN"):
        baselines.create("scaled").fit(FEATURES * np.nan, TARGETS)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("Plain", "mine failed: KeyError: 'a cupboard.*two lines'"),
        ("Narrow", r"mine must give floating-point scores of shape \(3, 2\), not float32 of shape \(3, 1\)"),
        ("Infinite", "mine gives scores that are NaN or infinite"),
    ],
)
def test_what_it_does_wrong_is_one_line(packages: Install, kind: str, message: str) -> None:
    packages({"mine": kind})
    with pytest.raises(AaamError, match=message) as found, np.errstate(invalid="ignore"):
        baselines.create("mine").fit(FEATURES, TARGETS).predict_scores(FEATURES)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("absent_module:Method", "cannot be imported: ModuleNotFoundError: No module named 'absent_module'"),
        ("Absent", "cannot be imported: AttributeError"),
        ("NoScores", "has no predict_scores: a method has fit, predict_scores"),
        ("function", "has no fit and no predict_scores"),
        ("SOURCE_OF_NOTHING", "cannot be imported"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_one_line_with_its_package(
    packages: Install, entry: str, message: str
) -> None:
    packages({"mine": entry})
    with pytest.raises(UsageError, match=f"the method 'mine' of toy-methods {message}") as found:
        baselines.create("mine")
    assert "\n" not in str(found.value)
    assert "mine" in baselines.names()
    assert plugin_identity("mine") == []


def test_names_that_are_taken_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "one", {"mine": "Scaled", "no/file": "Scaled"})
    install(monkeypatch, tmp_path / "other", {"mine": "Scaled", "knn": "Scaled"}, "others")
    with pytest.raises(UsageError, match="'mine' is in several packages: others and toy-methods"):
        baselines.create("mine")
    with pytest.raises(UsageError, match="'no/file' of toy-methods may have letters, digits"):
        baselines.create("no/file")
    with pytest.raises(UsageError, match="another package adds a method 'knn', which is built in"):
        baselines.names()


def test_an_unknown_name_is_answered_with_those_of_plug_ins_too(packages: Install) -> None:
    packages({"scaled": "Scaled"})
    with pytest.raises(UsageError, match="no method 'scalde'; did you mean 'scaled'"):
        baselines.create("scalde")


def test_its_package_and_source_identify_its_results(packages: Install, tmp_path: Path) -> None:
    packages({"scaled": "Scaled"})
    *package, source = plugin_identity("scaled")
    assert package == ["toy-methods", "1.0"]
    with (tmp_path / "toy_methods.py").open("a") as stream:
        stream.write("# changed\n")
    assert plugin_identity("scaled")[-1] != source
    assert plugin_identity("knn") == []
