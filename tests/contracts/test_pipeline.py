"""What dvc.yaml promises: every stage names the code it runs and the parameters it reads."""

from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from aaam_pipeline.datasets import registry

REPOSITORY = Path(__file__).parents[2]
STAGES: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
ABLATION: dict[str, Any] = yaml.safe_load((REPOSITORY / "ablation" / "dvc.yaml").read_text())["stages"]
# for each data set, whose name is the key
FOR_EACH = yaml.safe_load((REPOSITORY / "compare" / "dvc.yaml").read_text())["stages"]
COMPARE: dict[str, Any] = {name: stage["do"] for name, stage in FOR_EACH.items()}
EVERY = STAGES | ABLATION | COMPARE
PARAMS: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
# how a stage is shown does not change what it makes
NOT_WORTH_A_RERUN = ("aaam_pipeline.cli",)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("aaam_pipeline", "stages", cache_dir=None)


def for_dataset(text: str, dataset: str) -> str:
    return text.replace("${item.dataset}", dataset).replace("${key}", dataset)


def script(stage: str) -> str:
    """Return the dotted name of the script that a stage runs with `python -m`."""
    return str(EVERY[stage]["cmd"].split()[2])


def path_of(module: str) -> Path:
    base = Path(*module.split("."))
    return base / "__init__.py" if (REPOSITORY / base).is_dir() else base.with_suffix(".py")


def code_used(graph: grimp.ImportGraph, module: str) -> set[Path]:
    """Return the files that a script imports, directly or not; the data sets, found by name, are listed apart."""
    found, to_see = {module}, [module]
    while to_see:
        for each in graph.find_modules_directly_imported_by(to_see.pop()):
            if each not in found and not each.startswith(NOT_WORTH_A_RERUN):
                found.add(each)
                to_see.append(each)
    return {path_of(each) for each in found if each != "aaam_pipeline"}


@pytest.mark.parametrize("dataset", registry.BUILT_IN)
@pytest.mark.parametrize("stage", list(EVERY))
def test_a_stage_depends_on_all_the_code_it_runs(stage: str, dataset: str, graph: grimp.ImportGraph) -> None:
    declared = [Path(for_dataset(each, dataset)) for each in EVERY[stage]["deps"]]
    missing = {path for path in code_used(graph, script(stage)) if not any(map(path.is_relative_to, declared))}
    assert not missing


@pytest.mark.parametrize("stage", list(STAGES))
def test_code_that_a_stage_depends_on_exists(stage: str) -> None:
    for dataset in registry.BUILT_IN:
        code = [each for each in STAGES[stage]["deps"] if each.startswith(("stages/", "aaam_pipeline/"))]
        assert code
        for each in code:
            assert (REPOSITORY / for_dataset(each, dataset)).exists(), each


@pytest.mark.parametrize("stage", ["download", "prepare"])
def test_a_stage_that_reads_a_data_set_depends_on_its_package(stage: str) -> None:
    assert "aaam_pipeline/datasets/${item.dataset}" in STAGES[stage]["deps"]


@pytest.mark.parametrize("dataset", registry.BUILT_IN)
@pytest.mark.parametrize("stage", [*STAGES, *COMPARE])
def test_parameters_of_a_stage_are_in_the_file(stage: str, dataset: str) -> None:
    for each in EVERY[stage].get("params", []):
        node: Any = PARAMS
        for name in for_dataset(each, dataset).split("."):
            assert name in node, each
            node = node[name]


@pytest.mark.parametrize("stage", ["train_bce", "train_joint", "train_hard", "train_warp"])
def test_a_phase_reads_its_own_parameters_and_not_those_of_the_others(stage: str) -> None:
    phase = stage.removeprefix("train_")
    read = [each.removeprefix("${item.dataset}.") for each in STAGES[stage]["params"]]
    assert sorted(read) == sorted(["presets", "preset", "k", "preprocess", "model", "train", f"phases.{phase}"])


def outputs(stage: str) -> list[str]:
    listed = [each for kind in ("outs", "metrics", "plots") for each in STAGES[stage].get(kind, [])]
    return [next(iter(each)) if isinstance(each, dict) else each for each in listed]


def test_what_a_stage_reads_another_one_makes() -> None:
    made = [output for stage in STAGES for output in outputs(stage)]
    assert len(made) == len(set(made))
    for stage, content in STAGES.items():
        data = [each for each in content["deps"] if not each.startswith(("stages/", "aaam_pipeline/"))]
        for each in data:
            assert each in made, (stage, each)
        named = [word for word in content["cmd"].split() if word.startswith(("data/", "scores/", "retrieval/"))]
        known = [*data, *outputs(stage)]
        assert all(word in known for word in named), stage


def test_the_matrix_runs_over_the_data_sets_of_params_yaml() -> None:
    assert all(content["matrix"] == {"dataset": "${datasets}"} for content in STAGES.values())
    assert set(PARAMS["datasets"]) <= set(registry.BUILT_IN)
