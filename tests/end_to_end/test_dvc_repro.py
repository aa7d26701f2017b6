"""The pipeline as a stranger runs it: `dvc repro` in a fresh copy of the project, on a shrunken data set."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
import yaml

pytest.importorskip("dvc")
pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
STAGES = [
    "settings",
    "download",
    "prepare",
    "train_bce",
    "train_joint",
    "train_hard",
    "refit",
    "train_warp",
    "evaluate",
    "report",
    "figures",
    "annotate",
    "index",
]
JOINT = Path("models/scenes/joint/model.safetensors")
HARD = Path("models/scenes/hard/model.safetensors")


def environment() -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AAAM_", "DVC_"))}
    # stages are started as `python -m stages...`
    return plain | {"PATH": f"{Path(sys.executable).parent}:{plain['PATH']}", "DVC_NO_ANALYTICS": "1"}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said, both streams in one."""
    return subprocess.run(
        words,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )


def repro(folder: Path, *words: str) -> str:
    done = run(folder, "dvc", "repro", *words)
    assert done.returncode == 0, done.stdout
    return done.stdout


def ran(said: str) -> list[str]:
    """Return the stages that ran, in order."""
    return [line.split("'")[1].split("@")[0] for line in said.splitlines() if line.startswith("Running stage")]


def edit_params(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    tree = yaml.safe_load((folder / "params.yaml").read_text())
    change(tree["scenes"])
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))


def shrink(scenes: dict[str, Any]) -> None:
    scenes["data"] |= {"train": 120, "val": 40, "test": 60, "size": 64}
    scenes["preprocess"]["size"] = 48
    # int8 has tests of its own; here it would be a quarter of the time of a phase
    scenes["train"]["runtime_form"] = "fp32"
    for phase, epochs in (("bce", 1), ("joint", 5), ("hard", 3)):
        # patience: no phase may end early, or there would be nothing to go on with
        scenes["phases"][phase] |= {"epochs": epochs, "patience": 10}
    # hardly anything is learnt before `hard`, so that it surely finds better weights than those it starts from
    for phase, rate in (("bce", 1.0e-5), ("joint", 1.0e-5), ("hard", 1.0e-3)):
        scenes["phases"][phase]["lr"] = dict.fromkeys(("features", "attention", "classifier"), rate)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's code in a repository of its own."""
    folder = tmp_path_factory.mktemp("stranger")
    for name in ("aaam_pipeline", "stages"):
        copytree(PROJECT / name, folder / name, ignore=ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore"):
        (folder / name).write_bytes((PROJECT / name).read_bytes())
    edit_params(folder, shrink)
    for command in ("git init -q", "dvc init -q"):
        assert run(folder, *command.split()).returncode == 0
    return folder


def kill_while_training(folder: Path) -> str:
    """Start `dvc repro`, and SIGKILL it with all that it started once train_joint has finished two epochs."""
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("scenes joint epoch 2/5"):
                break
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait(timeout=30)
    return "".join(said)


@pytest.fixture(scope="module")
def built(fresh: Path) -> tuple[Path, str, str]:
    """The pipeline, killed in the middle of train_joint and started again: the folder, and what was said each time."""
    first = kill_while_training(fresh)
    assert "scenes joint epoch 2/5" in first, first
    assert not (fresh / JOINT).exists()
    # the kernel may need a moment to be rid of the processes
    time.sleep(0.5)
    return fresh, first, repro(fresh)


def test_a_killed_pipeline_resumes_where_it_was_and_runs_every_stage(built: tuple[Path, str, str]) -> None:
    folder, first, second = built
    assert ran(first) == STAGES[: STAGES.index("train_joint") + 1]
    assert ran(second) == STAGES[STAGES.index("train_joint") :]
    assert "scenes joint: resumes after epoch" in second
    assert "scenes joint epoch 1/5" not in second
    assert "scenes joint epoch 2/5" not in second
    for place in (
        "models/scenes/hard/bundle.json",
        "reports/scenes/metrics.json",
        "reports/scenes/report.md",
        "reports/scenes/report.html",
        "retrieval/scenes/index/manifest.json",
    ):
        assert (folder / place).is_file()
    assert not list(folder.glob("**/*.partial"))


def test_the_weights_are_those_of_a_run_that_was_never_killed(built: tuple[Path, str, str]) -> None:
    folder, _, _ = built
    killed = sha256(folder / JOINT)
    history = (folder / "plots/scenes/joint.csv").read_bytes()
    said = repro(folder, "--force", "--single-item", "train_joint@scenes")
    assert "resumes" not in said
    assert "scenes joint epoch 1/5" in said
    assert sha256(folder / JOINT) == killed
    assert (folder / "plots/scenes/joint.csv").read_bytes() == history


def test_a_second_repro_does_nothing(built: tuple[Path, str, str]) -> None:
    said = repro(built[0])
    assert ran(said) == []
    assert "Data and pipelines are up to date" in said


def test_the_metrics_of_the_three_phases_are_shown(built: tuple[Path, str, str]) -> None:
    done = run(built[0], "dvc", "metrics", "show", "--json")
    assert done.returncode == 0
    shown = {path: each["data"] for path, each in json.loads(done.stdout)[""]["data"].items()}
    assert {f"reports/scenes/validation/{phase}.json" for phase in ("bce", "joint", "hard", "warp")} < set(shown)
    figures = shown["reports/scenes/metrics.json"]
    assert set(figures) == {"bce", "joint", "hard", "refit"}
    assert {"map", "map_at_10", "n_plus", "precision_at_k", "pair_precision_at_10"} <= set(figures["hard"])


def test_every_stage_has_a_plot_of_its_own_that_dvc_can_read(built: tuple[Path, str, str]) -> None:
    done = run(built[0], "dvc", "plots", "show", "--json")
    assert done.returncode == 0, done.stdout
    for phase in ("bce", "joint", "hard"):
        for folder in (
            "plots/scenes",
            "reports/scenes/per_label",
            "reports/scenes/queries",
            "reports/scenes/reliability",
        ):
            assert f"{folder}/{phase}.csv" in done.stdout
    for figure in ("prediction_paths", "score_bars", "activation_maps"):
        assert f"figures/scenes/{figure}.png" in done.stdout
        assert f"figures/scenes/{figure}.svg" in done.stdout
    assert "reports/scenes/calibration.svg" in done.stdout


def test_search_finds_the_index_of_the_pipeline(built: tuple[Path, str, str]) -> None:
    done = run(built[0], "aaam-pipe", "search", "tree sky", "--top", "5")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("index: retrieval/scenes/index\n")
    # a network of one epoch finds some of its own pictures unfamiliar, and a note says so
    hits = [line for line in done.stdout.splitlines() if "\t" in line]
    assert len(hits) == 5
    for line in hits:
        assert (built[0] / line.split("\t")[1]).is_file()


def test_a_changed_margin_concerns_train_hard_and_its_refit_alone(built: tuple[Path, str, str]) -> None:
    folder = built[0]
    before = (folder / "params.yaml").read_text()
    edit_params(folder, lambda scenes: scenes["phases"]["hard"].update(margin=0.5))
    try:
        assert ran(repro(folder, "settings")) == ["settings"]
        changed = json.loads(run(folder, "dvc", "status", "--json").stdout)
    finally:
        (folder / "params.yaml").write_text(before)
    read = {"changed deps": {"data/settings/scenes.yaml": {"scenes.phases.hard": "modified"}}}
    assert changed == {"train_hard@scenes": [read], "refit@scenes": [read]}


def test_a_change_of_the_last_phase_reruns_only_what_depends_on_it(built: tuple[Path, str, str]) -> None:
    folder = built[0]
    before = sha256(folder / HARD)
    # not the margin: while every triplet violates it, as so early on, the gradients do not depend on it
    edit_params(folder, lambda scenes: scenes["phases"]["hard"].update(weight=0))
    reran = ran(repro(folder))
    assert sha256(folder / HARD) != before
    assert reran[:2] == ["settings", "train_hard"]
    assert sorted(reran[1:]) == ["annotate", "evaluate", "figures", "index", "refit", "report", "train_hard"]


@pytest.mark.parametrize(
    ("section", "name"),
    [("data", "trains"), ("model", "backbon"), ("phases", "bcee"), ("train", "batchsize"), ("", "modell")],
)
def test_an_unknown_parameter_fails_with_one_clear_line(section: str, name: str, built: tuple[Path, str, str]) -> None:
    folder = built[0]
    before = (folder / "params.yaml").read_text()
    edit_params(folder, lambda scenes: (scenes[section] if section else scenes).update({name: 1}))
    try:
        words = ("train", "scenes", "joint") if section in ("model", "train") else ("download", "scenes", "raw")
        done = run(folder, "python", "-m", f"stages.{words[0]}", *words[1:])
    finally:
        (folder / "params.yaml").write_text(before)
    assert done.returncode == 2
    assert not (folder / "raw").exists()
    lines = done.stdout.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: params.yaml")
    assert name in lines[0]


def test_an_unknown_parameter_stops_dvc(built: tuple[Path, str, str]) -> None:
    folder = built[0]
    before = (folder / "params.yaml").read_text()
    edit_params(folder, lambda scenes: scenes["data"].update(colour="blue"))
    try:
        done = run(folder, "dvc", "repro", "download@scenes")
    finally:
        (folder / "params.yaml").write_text(before)
    assert done.returncode != 0
    assert len([line for line in done.stdout.splitlines() if "colour" in line]) == 1
    assert "Traceback" not in done.stdout
