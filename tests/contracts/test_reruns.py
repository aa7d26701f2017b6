"""Which stages an edit reruns: `dvc status` on a stand-in, a copy of the code whose outputs were never computed."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from dvc.repo import Repo

pytest.importorskip("dvc")
REPOSITORY = Path(__file__).parents[2]
TRAIN = "train_bce train_joint train_hard refit train_warp"
AFTER_TRAINING = "evaluate report figures annotate index"


class Edit(NamedTuple):
    """What is changed; the stages that rerun for it; and those that rerun after them if their outputs differ."""

    what: str
    change: Callable[[Path], None]
    reruns: str = ""
    follows: str = ""


def code(name: str) -> Callable[[Path], None]:
    """Return an edit of a file of the package."""

    def change(project: Path) -> None:
        # a file that is new would stay there for the next edits
        with (project / "aaam_pipeline" / name).open("r+") as file:
            file.seek(0, os.SEEK_END)
            file.write("\n# edited\n")

    return change


def param(name: str, value: Any) -> Callable[[Path], None]:
    """Return an edit of params.yaml."""

    def change(project: Path) -> None:
        path = project / "params.yaml"
        tree = node = yaml.safe_load(path.read_text())
        *parents, last = name.split(".")
        for each in parents:
            node = node.setdefault(each, {})
        assert node.get(last) != value
        node[last] = value
        path.write_text(yaml.safe_dump(tree))

    return change


EDITS = [
    Edit("a synonym", code("search/thesaurus.yaml")),
    Edit("a command", code("cli/search.py")),
    Edit("an unused preset", param("presets.paper.train.batch_size", 7), "settings"),
    Edit("another data set's parameter", param("corel5k.train.batch_size", 7), "settings"),
    Edit("a used preset", param("presets.tuned.phases.hard.margin", 0.7), "settings train_hard refit", AFTER_TRAINING),
    Edit("the preset used", param("scenes.preset", "paper"), f"settings prepare report {TRAIN}", AFTER_TRAINING),
    Edit("k", param("scenes.k", 7), f"settings {TRAIN}", AFTER_TRAINING),
    Edit("a data set's size", param("scenes.data.train", 7), "settings download prepare", f"{TRAIN} {AFTER_TRAINING}"),
    Edit("a data set's code", code("datasets/scenes/pen.py"), "settings download prepare", f"{TRAIN} {AFTER_TRAINING}"),
    Edit("another data set's code", code("datasets/nuswide/flickr.py"), "settings"),
    # the same bytes come of it, whatever the number of threads: nothing follows, nothing is trained again
    Edit("threads that decode", code("datasets/decode.py"), "settings prepare", f"{TRAIN} {AFTER_TRAINING}"),
    Edit("a triplet miner", code("training/triplets.py"), TRAIN, AFTER_TRAINING),
    Edit("models in one file", code("models/packed.py"), "annotate", "index"),
    Edit("a table of the report", code("evaluation/paper_tables.py"), "evaluate report"),
    Edit("a figure's style", code("figures/style.py"), "figures"),
    Edit("annotate's mapper", code("annotate/mapper.py"), "annotate", "index"),
    Edit("the index", code("index/build.py"), "index"),
]


@contextmanager
def opened(project: Path) -> "Iterator[Repo]":
    from dvc.repo import Repo

    # stages are named relative to the folder that one stands in
    before = Path.cwd()
    os.chdir(project)
    try:
        with warnings.catch_warnings(action="ignore"), Repo(str(project)) as repo:
            yield repo
    finally:
        os.chdir(before)


def run_settings() -> None:
    """Run the stage `settings`, which decides what else reruns."""
    words = [sys.executable, "-m", "stages.settings", "params.yaml", "data/settings"]
    subprocess.run(words, env=os.environ | {"PYTHONPATH": "."}, check=True, timeout=60)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dvc.repo import Repo

    project = tmp_path_factory.mktemp("stand_in") / "project"
    for name in ("aaam_pipeline", "stages"):
        copytree(REPOSITORY / name, project / name, ignore=ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        (project / name).write_bytes((REPOSITORY / name).read_bytes())
    Repo.init(str(project), no_scm=True).close()
    with opened(project) as repo:
        for out in (Path(out.fs_path) for stage in repo.index.stages for out in stage.outs):
            file = out if out.suffix else out / "file"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("stand-in")
        run_settings()
        repo.commit(force=True)
        assert repo.status() == {}
    return project


@pytest.fixture
def project(stand_in: Path) -> Iterator[Path]:
    """The stand-in, which is afterwards what it was before: copies would be hashed anew by DVC."""
    files = [
        each
        for name in ("aaam_pipeline", "data/settings", "dvc.lock", "params.yaml")
        for each in below(stand_in / name)
    ]
    before = {path: path.read_bytes() for path in files}
    yield stand_in
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def below(path: Path) -> list[Path]:
    return [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]


def stages_of(names: Iterable[str]) -> set[str]:
    return {name.removesuffix("@scenes") for name in names}


@pytest.fixture(scope="module")
def readers(stand_in: Path) -> dict[str, set[str]]:
    """Stage -> the stages that read what it writes, directly or not."""
    from networkx import ancestors

    with opened(stand_in) as repo:
        graph = repo.index.graph
        names = {stage: stage.addressing.removesuffix("@scenes") for stage in graph}
        return {names[stage]: {names[each] for each in ancestors(graph, stage)} for stage in graph}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.what)
def test_an_edit_reruns_what_it_must_and_no_more(edit: Edit, project: Path, readers: dict[str, set[str]]) -> None:
    edit.change(project)
    with opened(project) as repo:
        reruns = stages_of(repo.status())
        if "settings" in reruns:
            run_settings()
            reruns |= stages_of(repo.status())
    assert reruns == set(edit.reruns.split())
    # what `settings` writes is known already
    follows = {each for stage in reruns - {"settings"} for each in readers[stage]}
    assert follows - reruns == set(edit.follows.split()) - reruns
