"""The network that is used is trained on validation images as well, for as long as validation found best."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from training import toy_blocks
from training.toy_blocks import SIZE

from aaam_pipeline.core.errors import ParamsError, UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import Project
from aaam_pipeline.datasets.prepared import Split, read_split
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.models import bundle
from aaam_pipeline.models.info import familiarity_of
from aaam_pipeline.training import probe
from aaam_pipeline.training.joined import JoinedPixels, joined
from aaam_pipeline.training.phases import read_settings
from aaam_pipeline.training.refit import CHAIN, for_epochs, refit
from aaam_pipeline.training.run import phase_paths, run_phase

EPOCHS = {"bce": 2, "joint": 1, "hard": 1}


def split(start: int, count: int) -> Split:
    rng = np.random.default_rng(start)
    pixels = rng.integers(0, 255, (count, SIZE, SIZE, 3), dtype=np.uint8)
    ids = [f"image {start + number}" for number in range(count)]
    return Split(ids, [Path(each) for each in ids], pixels, rng.integers(0, 2, (count, 3)).astype(np.int8))


def test_two_splits_are_read_as_one() -> None:
    first, second = split(0, 7), split(7, 4)
    both = joined(first, second)
    expected = np.concatenate([first.pixels_NSS3, second.pixels_NSS3])
    assert both.image_ids == [f"image {number}" for number in range(11)]
    assert both.pixels_NSS3.shape == expected.shape
    assert both.pixels_NSS3.nbytes == expected.nbytes
    for rows in (np.array([0, 6, 7, 10]), np.array([9, 2]), slice(5, 9), slice(None, None, 3), np.array([], np.intp)):
        assert np.array_equal(both.pixels_NSS3[rows], expected[rows])
    assert np.array_equal(both.targets_NL, np.concatenate([first.targets_NL, second.targets_NL]))


def test_only_rows_that_are_asked_for_are_read() -> None:
    class Parts(np.ndarray):  # type: ignore[type-arg]
        def __array__(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
            raise AssertionError("all rows are read")

    parts = [np.zeros((3, 2, 2, 3), np.uint8).view(Parts) for _ in range(2)]
    assert JoinedPixels(parts)[np.array([1, 4])].shape == (2, 2, 2, 3)


def project_of(root: Path, prepared: Path, **block: object) -> Project:
    """Train the phases in a project's layout, each for its epochs."""
    project = Project(root)
    project.prepared("toy").parent.mkdir(parents=True)
    project.prepared("toy").symlink_to(prepared)
    tree = toy_blocks.params(common={"keep": "last"})
    for phase, epochs in EPOCHS.items():
        tree["toy"]["phases"][phase] = tree["toy"]["phases"][phase] | {"epochs": epochs}
    tree["toy"] |= {"refit": True} | block
    project.params.write_text(yaml.safe_dump(tree))
    with toy_blocks.threads(1):
        for phase in CHAIN:
            settings = read_settings(ParamsFile.read(project.params), "toy", phase)
            run_phase("toy", phase, settings, phase_paths(project, "toy", phase), "cpu", toy_blocks.Lines())
    return project


def run(project: Project) -> list[str]:
    report = toy_blocks.Lines()
    with toy_blocks.threads(1):
        refit("toy", ParamsFile.read(project.params), project, "cpu", report)
    return report.lines


@pytest.fixture(scope="module")
def refitted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, list[str]]:
    project = project_of(tmp_path_factory.mktemp("refit"), prepared)
    return project, run(project)


def test_the_refitted_network_saw_all_images_for_the_epochs_that_were_decided(
    refitted: tuple[Project, list[str]], prepared: Path
) -> None:
    project, lines = refitted
    found = [line.split(":")[0] for line in lines if " epoch " in line.split(":")[0]]
    assert found == [
        f"toy {phase} epoch {number}/{epochs}" for phase, epochs in EPOCHS.items() for number in range(1, epochs + 1)
    ]
    assert not any("validation mAP" in line for line in lines)
    validated, used = (
        [row.split(",")[1] for row in path.read_text().splitlines()[2:]]
        for path in (project.history("toy", "bce"), project.work("refit", "toy", "bce") / "history.csv")
    )
    assert len(validated) == len(used) == EPOCHS["bce"]
    assert validated != used, "the mean loss is of other images"


def test_what_validation_decided_is_taken_from_the_validated_network(refitted: tuple[Project, list[str]]) -> None:
    project, _ = refitted
    validated, used = (bundle.read_info(project.bundle("toy", phase)) for phase in ("hard", "refit"))
    assert used.calibration == validated.calibration
    assert used.thresholds == validated.thresholds
    assert used.metrics == {"best_epoch": 1, "val": validated.metrics["val"], "refit": True}
    assert used.embedding_id != validated.embedding_id
    scores = {phase: read_scores(project.scores("toy", phase)) for phase in ("hard", "refit")}
    assert scores["refit"].scaling == scores["hard"].scaling
    assert scores["refit"].image_ids == scores["hard"].image_ids
    assert not np.array_equal(scores["refit"].scores_NL, scores["hard"].scores_NL)
    network = bundle.load(project.bundle("toy", "refit"), torch.device("cpu")).network
    pictures = read_split(project.prepared("toy"), "test").pixels_NSS3
    given = network.predict(used.preprocess.normalise(torch.tensor(pictures)))[0].numpy()
    np.testing.assert_allclose(given, scores["refit"].scores_NL, atol=1e-5)


def test_the_classifiers_start_has_the_penalty_of_the_validated_network(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with another one its scores have another scale than those that calibration and thresholds are of
    toy_blocks.write_params(tmp_path, epochs=0, common={"keep": "last", "probe_epochs": "converged"})
    settings = read_settings(ParamsFile.read(tmp_path / "params.yaml"), "toy", "bce")
    validated, used = (toy_blocks.paths(tmp_path / each, "bce", prepared) for each in ("validated", "used"))
    with toy_blocks.threads(1):
        monkeypatch.setattr(probe, "_choose_penalty", lambda *_: 3e-2)
        run_phase("toy", "bce", settings, validated, "cpu", toy_blocks.Lines())
        monkeypatch.setattr(probe, "_choose_penalty", lambda *_: 1.0)
        again = for_epochs(settings, 0)
        run_phase("toy", "bce", again, used._replace(decided=validated), "cpu", toy_blocks.Lines())
    assert [bundle.read_info(each.bundle).metrics["penalty"] for each in (validated, used)] == [3e-2, 3e-2]
    before, after = (read_scores(each.scores).scores_NL for each in (validated, used))
    assert np.abs(before - after).max() < 0.2


def test_a_refit_that_was_stopped_resumes_with_the_same_result(
    refitted: tuple[Project, list[str]], prepared: Path, tmp_path: Path
) -> None:
    project = project_of(tmp_path, prepared)

    class Stop(toy_blocks.Lines):
        def info(self, text: str) -> None:
            super().info(text)
            if "epoch 1/2" in text:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), toy_blocks.threads(1):
        refit("toy", ParamsFile.read(project.params), project, "cpu", Stop())
    assert not project.bundle("toy", "refit").exists()
    assert any("resumes after epoch 1" in line for line in run(project))
    for name in ("bundle.json", "model.safetensors"):
        whole, again = (each.bundle("toy", "refit") / name for each in (refitted[0], project))
        assert whole.read_bytes() == again.read_bytes()


def test_what_is_refitted_is_not_trained_again(refitted: tuple[Project, list[str]]) -> None:
    project, _ = refitted
    before = project.bundle("toy", "refit").joinpath("bundle.json").read_bytes()
    assert run(project) == []
    assert project.bundle("toy", "refit").joinpath("bundle.json").read_bytes() == before


def test_without_a_refit_the_validated_network_is_used(prepared: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, prepared, refit=False)
    assert [line for line in run(project) if "refit is false" in line]
    for name in ("bundle.json", "model.safetensors"):
        hard, used = (project.bundle("toy", phase) / name for phase in ("hard", "refit"))
        assert hard.read_bytes() == used.read_bytes()
    assert project.scores("toy", "hard").read_bytes() == project.scores("toy", "refit").read_bytes()


def test_a_refit_needs_the_validated_phases(prepared: Path, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.params.write_text(yaml.safe_dump(toy_blocks.params()))
    with pytest.raises(UsageError, match="bce"):
        run(project)
    project.params.write_text(yaml.safe_dump({"toy": toy_blocks.params()["toy"] | {"refit": "perhaps"}}))
    with pytest.raises(ParamsError, match=r"in toy\.refit"):
        run(project)


def test_what_is_far_is_what_validation_said_and_from_all_images(refitted: tuple[Project, list[str]]) -> None:
    project, _ = refitted
    validated, last = (bundle.read_info(project.bundle("toy", phase)) for phase in (CHAIN[-1], "refit"))
    before, now = (
        familiarity_of(project.bundle("toy", phase), info) for phase, info in ((CHAIN[-1], validated), ("refit", last))
    )
    assert before is not None
    assert now is not None
    assert now.threshold == before.threshold
    assert len(now.centroids_KD) == 64 > len(before.centroids_KD) == 48
