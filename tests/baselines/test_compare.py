"""The stage `compare`: its scores, its table, that it resumes, and methods that fail."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from baselines.toy_plugin import install
from conftest import Said, make_bundle
from training.toy_blocks import make_prepared, write_params

from aaam_pipeline import metrics
from aaam_pipeline.baselines import NAMES, features
from aaam_pipeline.baselines import compare as stage
from aaam_pipeline.baselines.compare import ComparisonPaths, MethodSelection, compare, comparison_paths, parse_settings
from aaam_pipeline.baselines.feature_files import read_splits
from aaam_pipeline.baselines.registry import create
from aaam_pipeline.baselines.worker import MethodJob, as_probabilities, peak_memory, run_method
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.core.project import Project
from aaam_pipeline.evaluation import inputs
from aaam_pipeline.formats.comparison import Comparison
from aaam_pipeline.formats.scores import read_scores


def run(
    where: ComparisonPaths, *methods: str, tuned: bool = False, by: str = "map", settings: Any = None
) -> Comparison:
    selection = MethodSelection(methods, by if tuned else None, settings or {})
    return compare("toy", ParamsFile.read(where.prepared.parents[2] / "params.yaml"), where, selection, NullReporter())


def read_comparison(path: Path) -> Comparison:
    return msgspec.json.decode(path.read_bytes(), type=Comparison)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ComparisonPaths:
    """A project's folder with features, on which the SVM was tuned and run."""
    root = tmp_path_factory.mktemp("project")
    where = comparison_paths(Project(root), "toy")
    where.prepared.parent.mkdir(parents=True)
    make_prepared(where.prepared)
    make_bundle(root / "model")
    write_params(root)
    features.compute(
        "toy",
        ParamsFile.read(root / "params.yaml"),
        where.prepared,
        str(root / "model"),
        where.features,
        "cpu",
        NullReporter(),
    )
    # held by this process, and not by those that it starts
    held = np.ones(2**26)
    run(where, "svm", tuned=True)
    assert peak_memory() > held.nbytes
    return where


def refuse(*_: Any) -> Any:
    raise AssertionError("was run again")


def test_scores_and_report_agree(project: ComparisonPaths) -> None:
    comparison = read_comparison(project.report)
    (svm,) = comparison.methods
    split = read_scores(project.scores / "svm.parquet")
    assert svm.test == metrics.evaluate(split.scores_NL, split.targets_NL, comparison.k)
    assert split.calibration is not None
    assert split.scaling is not None
    assert split.scaling.split == svm.scaled_by
    by_hand = split.scores_NL / np.array(split.scaling.maxima)
    assert svm.scaled == metrics.evaluate(by_hand, split.targets_NL, comparison.k)
    assert (comparison.k, comparison.dimension, comparison.images["test"]) == (2, 256, len(split.image_ids))
    assert svm.seconds_fit > 0
    assert svm.seconds_predict > 0
    # memory is that of the method, and not of the process that started it, which held 512 MB
    assert 2**26 < svm.peak_bytes < 2**29


def test_the_best_on_validation_was_chosen(project: ComparisonPaths) -> None:
    (svm,) = read_comparison(project.report).methods
    assert len(svm.trials) == 10
    best = max(svm.trials, key=lambda trial: trial.value)
    assert best.params.items() <= svm.params.items()
    assert svm.val["map"] == pytest.approx(best.value, abs=1e-6)


def test_with_a_refit_test_images_are_scored_by_what_learned_from_validation_images_too(
    project: ComparisonPaths, tmp_path: Path
) -> None:
    found = {}
    for refit in (False, True):
        splits = read_splits(project.features, project.prepared)
        job = MethodJob("svm", {}, "", "", project.features, project.prepared, 2, tmp_path / f"{refit}.parquet", refit)
        found[refit] = run_method(job, {})
        train, val, test = splits["train"], splits["val"], splits["test"]
        learned = [train, val] if refit else [train]
        svm = create("svm").fit(
            np.concatenate([each.features_ND for each in learned]),
            np.concatenate([each.targets_NL for each in learned]),
        )
        raw_NL, scores_NL = svm.predict_scores(test.features_ND), read_scores(job.scores).scores_NL
        assert np.array_equal(np.argsort(raw_NL, axis=0), np.argsort(scores_NL, axis=0))
    assert found[True].val == found[False].val, "validation images validate what never saw them"
    plain, refitted = (read_scores(tmp_path / f"{refit}.parquet") for refit in (False, True))
    assert plain.calibration == refitted.calibration
    assert not np.array_equal(plain.scores_NL, refitted.scores_NL)


def test_the_report_finds_the_scores(project: ComparisonPaths) -> None:
    found = inputs.read("toy", inputs.Sources(project.scores.parents[1], ablations=project.report.parents[1]))
    assert [method.title for method in found.methods] == ["SVM"]


def test_what_is_finished_is_not_run_again(project: ComparisonPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_comparison(project.report)
    monkeypatch.setattr(stage, "in_process", refuse)
    assert run(project, "svm", tuned=True) == before
    with pytest.raises(AssertionError, match="run again"):
        run(project, "svm", tuned=False)


def test_another_method_is_added_to_those_that_are_there(
    project: ComparisonPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "in_process", lambda work, *arguments: work(*arguments))
    found = run(project, "knn", tuned=True)
    assert [each.name for each in found.methods] == [name for name in NAMES if name in ("knn", "svm")]
    assert {path.stem for path in project.scores.iterdir()} == {"knn", "svm"}


def test_a_method_run_alone_with_other_settings_keeps_the_rows_of_the_others_and_says_so(
    project: ComparisonPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "in_process", lambda work, *arguments: work(*arguments))
    where = project._replace(
        work=project.work.parent / "merged",
        report=project.report.with_name("merged.json"),
        scores=project.scores.with_name("merged"),
    )
    before = run(where, "knn", "tagrel", tuned=True)
    assert before.earlier == []
    params, said = ParamsFile.read(where.prepared.parents[2] / "params.yaml"), Said()
    after = compare("toy", params, where, MethodSelection(["tagrel"], None, {}), said)
    assert [each.name for each in after.methods] == ["knn", "tagrel"]
    assert after.methods[0] == before.methods[0]
    assert after.methods[1].trials == []
    assert after.earlier == read_comparison(where.report).earlier == ["knn"]
    assert said.lines[-1] == "kept as an earlier run made them, with other settings, code or libraries: knn"
    assert {path.stem for path in where.scores.iterdir()} == {"knn", "tagrel"}
    # k is another: what was found before does not compare
    other = ParamsFile(params.path, {"toy": dict(params.block("toy")) | {"k": 1}})
    found = compare("toy", other, where, MethodSelection(["tagrel"], None, {}), said)
    assert [each.name for each in found.methods] == ["tagrel"]


def test_a_method_that_fails_has_a_row_that_says_why(project: ComparisonPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(work: Any, job: Any, *arguments: Any) -> Any:
        if job.name == "tagrel":
            raise UsageError("not enough memory")
        return work(job, *arguments)

    monkeypatch.setattr(stage, "in_process", failing)
    where = project._replace(work=project.work.parent / "fails", report=project.report.with_name("fails.json"))
    with pytest.raises(AaamError, match=r"1 of 2 methods failed: tagrel; see .*fails.json"):
        run(where, "knn", "tagrel")
    assert [(each.name, each.error) for each in read_comparison(where.report).methods] == [
        ("knn", ""),
        ("tagrel", "not enough memory"),
    ]
    # it is tried again, and what went well is not
    monkeypatch.setattr(
        stage, "in_process", lambda work, job, *rest: work(job, *rest) if job.name == "tagrel" else refuse()
    )
    assert all(not each.error for each in run(where, "knn", "tagrel").methods)


def test_a_method_that_takes_no_unknown_labels_has_a_row_that_says_so_and_fails_only_if_it_was_named(
    project: ComparisonPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Partial(NamedTuple):
        targets_NL: Any = np.array([[1, -1]], np.int8)

    monkeypatch.setattr(stage, "read_split", lambda *_: Partial())
    monkeypatch.setattr(stage, "in_process", lambda work, *arguments: work(*arguments))
    monkeypatch.setattr(stage, "names", lambda: ("knn", "svm"))
    where = project._replace(
        work=project.work.parent / "partial",
        report=project.report.with_name("partial.json"),
        scores=project.scores.with_name("partial"),
    )
    refused, taken = run(where).methods
    assert (refused.error, taken.error) == (
        "needs training images of which every label is known; here some are unknown",
        "",
    )
    assert {path.stem for path in where.scores.iterdir()} == {"svm"}
    with pytest.raises(AaamError, match="1 of 2 methods failed: knn"):
        run(where, "knn")


def test_a_method_that_is_none_is_refused_before_anything_runs(project: ComparisonPaths) -> None:
    with pytest.raises(UsageError, match="did you mean 'knn'"):
        run(project, "svm", "knnn")
    with pytest.raises(UsageError, match="no criterion 'accuracy'; known: map, "):
        run(project, "svm", tuned=True, by="accuracy")


def test_a_plug_in_is_tuned_and_run_and_one_that_cannot_be_imported_has_a_row_that_says_so(
    project: ComparisonPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, {"scaled": "Scaled", "broken": "absent_module:Method"})
    monkeypatch.setattr(stage, "in_process", lambda work, *arguments: work(*arguments))
    where = project._replace(
        work=project.work.parent / "plugin",
        report=project.report.with_name("plugin.json"),
        scores=project.scores.with_name("plugin"),
    )
    (found,) = run(where, "scaled", tuned=True).methods
    assert [trial.params for trial in found.trials] == [{"factor": -1.0}, {"factor": 1.0}]
    assert found.test.keys() >= {"map", "n_plus"}
    assert read_scores(where.scores / "scaled.parquet").scores_NL.min() >= 0
    with pytest.raises(UsageError, match="'broken' of toy-methods cannot be imported: ModuleNotFoundError"):
        run(where, "broken")
    monkeypatch.setattr(stage, "names", lambda: ("broken", "scaled"))
    with pytest.raises(AaamError, match="1 of 2 methods failed: broken"):
        run(where, tuned=True)
    row = read_comparison(where.report).methods[0]
    assert "cannot be imported" in row.error


def test_hyper_parameters_can_be_set(project: ComparisonPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "in_process", lambda work, *arguments: work(*arguments))
    where = project._replace(work=project.work.parent / "set", report=project.report.with_name("set.json"))
    (found,) = run(where, "knn", settings=parse_settings(["knn.k=3", "knn.weights=distance"])).methods
    assert found.params == {"k": 3, "weights": "distance", "unit": True}
    for wrong in ("knn", "knn.k", "k=3", ".k=3", "knn.k={"):
        with pytest.raises(UsageError, match="is not METHOD"):
            parse_settings([wrong])
    with pytest.raises(UsageError, match="no parameter 'kk'; did you mean 'k'"):
        run(where, "knn", settings={"knn": {"kk": 3}})


def test_a_process_that_is_killed_is_told(project: ComparisonPaths) -> None:
    with pytest.raises(AaamError, match="was killed"):
        stage.in_process(os._exit, 9)


def test_scores_become_probabilities_in_the_same_order() -> None:
    val, test = (np.random.default_rng(seed).normal(-3, 2, (30, 4)).astype(np.float32) for seed in (0, 1))
    for raw, made in zip((val, test), as_probabilities(val, test), strict=True):
        assert (made > 0).all()
        assert (made < 1).all()
        np.testing.assert_array_equal(np.argsort(made, axis=None), np.argsort(raw, axis=None))
    kept = as_probabilities(np.abs(val) / 20, np.abs(test) / 20)
    np.testing.assert_array_equal(kept[0], np.abs(val) / 20)
    same = as_probabilities(np.full((3, 2), 5, np.float32), np.full((2, 2), 5, np.float32))
    assert (same[1] == 0.5).all()
