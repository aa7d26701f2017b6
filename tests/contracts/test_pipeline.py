"""What dvc.yaml promises: every stage names the code it runs and the parameters it reads."""

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grimp
import pytest
import yaml

from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.datasets import registry

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

pytest.importorskip("dvc")
REPOSITORY = Path(__file__).parents[2]
PARAMS = ParamsFile.read(REPOSITORY / "params.yaml")
CODE = ("stages/", "aaam_pipeline/")
# how a stage is shown, or stopped, does not change what it makes; the package itself has its version
NOT_WORTH_A_RERUN = ("aaam_pipeline.cli", "aaam_pipeline", "stages")
# packages whose modules are loaded by name: a stage that runs any of them depends on all
BY_NAME = {"aaam_pipeline.baselines.compare": "aaam_pipeline.baselines"}


def scripts() -> dict[str, dict[str, Any]]:
    """Return the stages of all dvc.yaml, as they stand there."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(REPOSITORY.glob("**/dvc.yaml")):
        found |= {name: stage.get("do", stage) for name, stage in yaml.safe_load(path.read_text())["stages"].items()}
    return found


STAGES = scripts()


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, "PipelineStage"]:
    """The stages of the root's dvc.yaml for two data sets, one of them a plug-in, as DVC reads them."""
    from dvc.repo import Repo

    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "dvc.yaml").write_bytes((REPOSITORY / "dvc.yaml").read_bytes())
    (folder / "params.yaml").write_text("datasets: [scenes, mine]")
    return {stage.name: stage for stage in Repo.init(str(folder), no_scm=True).index.stages}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("aaam_pipeline", "stages", cache_dir=None)


def path_of(module: str) -> Path:
    base = Path(*module.split("."))
    return base / "__init__.py" if (REPOSITORY / base).is_dir() else base.with_suffix(".py")


def packages(module: str) -> set[str]:
    """Return the packages that a module is in, and what they import at once: Python runs them first."""
    names = module.split(".")
    found = {".".join(names[:count]) for count in range(1, len(names))} - set(NOT_WORTH_A_RERUN)
    at_once = {
        node.module or ""
        for package in found
        for node in ast.parse((REPOSITORY / path_of(package)).read_text()).body
        if isinstance(node, ast.ImportFrom)
    }
    return found | {each for each in at_once if each.startswith("aaam_pipeline.")}


def code_used(graph: grimp.ImportGraph, script: str) -> set[Path]:
    """Return the files that a script imports, directly or not, at the top or in functions."""
    found, to_see = {script}, [script]
    while to_see:
        module = to_see.pop()
        used = packages(module)
        if path_of(module).name != "__init__.py":
            used |= graph.find_modules_directly_imported_by(module)
        if module in BY_NAME:
            used |= graph.find_descendants(BY_NAME[module])
        new = {
            each for each in used - found if each not in NOT_WORTH_A_RERUN and not each.startswith(NOT_WORTH_A_RERUN[0])
        }
        found |= new
        to_see.extend(new)
    return {path_of(each) for each in found if is_code(path_of(each))}


def is_code(path: Path) -> bool:
    """Tell a module from the docstring of a package."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse((REPOSITORY / path).read_text()).body)


def script(stage: str) -> str:
    """Return the dotted name of the script that a stage runs with `python -m`."""
    return str(STAGES[stage]["cmd"].split()[2])


def declared(stage: str) -> set[Path]:
    return {Path(each) for each in STAGES[stage]["deps"] if each.startswith(CODE)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_runs(stage: str, graph: grimp.ImportGraph) -> None:
    missing = {path for path in code_used(graph, script(stage)) if not any(map(path.is_relative_to, declared(stage)))}
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_that_it_does_not_run(stage: str, graph: grimp.ImportGraph) -> None:
    used = code_used(graph, script(stage))
    # what data sets are read and fetched with, by their packages
    if STAGES[stage].get("params") and "code" in str(STAGES[stage]["params"]):
        used |= {path_of(each) for name in registry.BUILT_IN for each in of_dataset(graph, name)}
    for each in declared(stage):
        assert (REPOSITORY / each).exists()
        assert any(path.is_relative_to(each) for path in used), each


def of_dataset(graph: grimp.ImportGraph, name: str) -> set[str]:
    return graph.find_upstream_modules(f"aaam_pipeline.datasets.{name}")


@pytest.mark.parametrize("stage", ["download", "prepare"])
def test_stages_that_run_a_data_set_depend_on_its_code_wherever_it_is(stage: str) -> None:
    (file,) = STAGES[stage]["params"]
    (read,) = file.values()
    assert read[0] == "code"
    assert not any("${" in path.as_posix() for path in declared(stage))


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_stages_depend_on_the_code_that_a_data_set_is_read_with(name: str, graph: grimp.ImportGraph) -> None:
    own = f"aaam_pipeline.datasets.{name}"
    used = {path_of(each) for each in of_dataset(graph, name) if not each.startswith(own)}
    # how a copy comes there does not change what is read of it
    for stage, but in (("download", ()), ("prepare", ("aaam_pipeline/datasets/fetching",))):
        needed = {path for path in used if is_code(path) and not any(map(path.is_relative_to, but))}
        assert {path for path in needed if not any(map(path.is_relative_to, declared(stage)))} == set(), stage


@pytest.mark.parametrize("dataset", registry.BUILT_IN)
@pytest.mark.parametrize("stage", STAGES)
def test_parameters_of_a_stage_are_in_the_settings(stage: str, dataset: str) -> None:
    for file in STAGES[stage].get("params", []):
        for each in next(iter(file.values())):
            if each != "code":
                phase = next((of["phase"] for of in STAGES[stage].get("vars", [])), "")
                name = re.sub(r"\$\{(item\.dataset|item|key)\}", dataset, each).replace("${phase}", phase)
                if not name.endswith(".refit"):  # the stage `settings` fills it in
                    PARAMS.section(name, object)


@pytest.mark.parametrize("phase", ["bce", "joint", "hard", "warp"])
@pytest.mark.parametrize("dataset", ["scenes", "mine"])
def test_a_phase_reads_its_own_parameters_and_not_those_of_the_others(
    phase: str, dataset: str, resolved: dict[str, "PipelineStage"]
) -> None:
    stage = resolved[f"train_{phase}@{dataset}"]
    (params,) = stage.params
    assert params.def_path == f"data/settings/{dataset}.yaml"
    read = ["k", "preprocess", "model", "train", f"phases.{phase}"]
    assert sorted(params.params) == sorted(f"{dataset}.{each}" for each in read)


def test_what_a_stage_reads_another_one_makes(resolved: dict[str, "PipelineStage"]) -> None:
    made = [out.def_path for stage in resolved.values() for out in stage.outs]
    assert len(made) == len(set(made))
    for name, stage in resolved.items():
        files = [each.def_path for each in stage.deps if not each.def_path.startswith(CODE)]
        for each in files:
            assert each == "params.yaml" or any(Path(each).is_relative_to(out) for out in made), (name, each)
        folders = ("data/", "scores/", "models/", "retrieval/")
        named = [word for word in stage.cmd.split() if word.startswith(folders)]
        assert all(word in {*files, *(out.def_path for out in stage.outs)} for word in named), name


def test_training_knows_nothing_of_what_is_done_with_a_model() -> None:
    for stage in ("train_bce", "train_joint", "train_hard", "refit", "train_warp"):
        rooms = {path.parts[1] for path in declared(stage) if path.parts[0] == "aaam_pipeline"}
        assert rooms == {"core", "formats", "metrics", "models", "datasets", "training"}


def test_there_is_a_set_of_stages_for_each_data_set_of_params_yaml(resolved: dict[str, "PipelineStage"]) -> None:
    for name in set(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]) - {"settings"}:
        assert {f"{name}@scenes", f"{name}@mine"} < set(resolved)
    assert len(resolved) == 1 + 2 * 12
    chosen = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["datasets"]
    assert all(registry.of(name, PARAMS) for name in chosen)
