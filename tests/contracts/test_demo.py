"""`make demo`: what it runs, in which order, with programs that only write down how they were called."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Invoke

from aaam_pipeline.core.project import Project
from benchmarks.photographs import copy_photographs

REPOSITORY = Path(__file__).parents[2]
STARTER = REPOSITORY / "aaam_pipeline" / "models" / "starter"
# what is named `nosuch` is not there
PROGRAM = """#!/bin/sh
printf '%s' "$(basename "$0")" >> calls
printf '\\t%s' "$@" >> calls
echo >> calls
case "$*" in *nosuch*) echo 'error: no file or folder' >&2; exit 2;; esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone that is installed, with a starter."""
    folder = tmp_path / "clone"
    starter = folder / "aaam_pipeline" / "models" / "starter"
    for each in (starter, folder / ".venv" / "bin"):
        each.mkdir(parents=True)
    (starter / "bundle.json").touch()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    for name in ("python", "dvc", "aaam-pipe"):
        program = folder / ".venv" / "bin" / name
        program.write_text(PROGRAM)
        program.chmod(0o755)
    (folder / ".venv" / ".installed").touch()
    return folder


def make(checkout: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    home = {**os.environ, "HOME": str(checkout.parent / "home")}
    # that of the `make` which runs these tests
    without = {name: value for name, value in home.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "IMAGES")}
    return subprocess.run(["make", *words], cwd=checkout, env=without, capture_output=True, text=True, check=False)


def calls(checkout: Path) -> list[list[str]]:
    file = checkout / "calls"
    return [line.split("\t") for line in file.read_text().splitlines()] if file.exists() else []


def test_it_begins_with_photographs_and_ends_with_scenes(checkout: Path) -> None:
    (checkout / "demo" / "index").mkdir(parents=True)
    (checkout / "demo" / "index" / "manifest.json").touch()
    done = make(checkout, "demo")
    assert done.returncode == 0, done.stderr
    found = calls(checkout)
    pipeline = found.index(["dvc", "repro", "evaluate@scenes"])
    assert [call[:2] for call in found[:pipeline]] == [
        ["python", "-m"], *[["aaam-pipe", each] for each in ("annotate", "index", "search", "search")]
    ]  # fmt: skip
    assert found[1][2:5] == [f"{found[0][-1]}", "--model", "starter"]
    assert found[-1] == ["aaam-pipe", "search", "football grass", "--top", "10"]
    # an index that is up to date would be left as it is, and not be the newest
    assert not (checkout / "demo" / "index").exists()


def test_the_index_of_the_photographs_is_never_taken_for_the_newest(checkout: Path) -> None:
    make(checkout, "demo")
    outs = [Path(call[call.index("--out") + 1]) for call in calls(checkout) if call[1] == "index"]
    of_photographs, of_scenes = (checkout / each for each in outs)
    assert all("--index" in call for call in calls(checkout)[:5] if call[1] == "search")
    for time, index in enumerate((of_scenes, of_photographs)):
        index.mkdir(parents=True)
        (index / "manifest.json").touch()
        os.utime(index / "manifest.json", (time, time))
    assert Project(checkout).newest_index() == of_scenes


def test_without_a_starter_it_says_so_and_goes_on(checkout: Path) -> None:
    shutil.rmtree(checkout / "aaam_pipeline" / "models" / "starter")
    done = make(checkout, "demo")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].endswith("real photographs are left out")
    assert calls(checkout)[0] == ["dvc", "repro", "evaluate@scenes"]


def test_ones_own_photographs_are_taken_where_they_are(checkout: Path) -> None:
    make(checkout, "photographs", "IMAGES=~/My Pictures")
    found = calls(checkout)
    assert found[0][:3] == ["aaam-pipe", "annotate", str(checkout.parent / "home" / "My Pictures")]
    assert len(found) == 4


def test_a_wrong_folder_ends_it_before_anything_is_trained(checkout: Path) -> None:
    done = make(checkout, "demo", "IMAGES=nosuch")
    assert done.returncode != 0
    assert done.stderr.startswith("error: no file or folder\nmake: ")
    assert len(calls(checkout)) == 1


def test_installed_packages_have_the_photographs(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    names = {path.stem for path in copy_photographs(tmp_path)}
    # the hits that the demo shows
    assert {"astronaut", "camera", "grace_hopper", "chelsea", "coffee"} <= names
    assert {path.stem for path in tmp_path.iterdir()} == names


@pytest.mark.skipif(not STARTER.exists(), reason="there is no starter")
def test_the_readme_shows_what_the_starter_says(invoke: Invoke, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    home = Path("demo", "photographs")
    copy_photographs(tmp_path / home / "images")
    # tests do not find it by its name
    named = ("--model", STARTER, "--device", "cpu")
    assert invoke("annotate", home / "images", *named, "--out", home / "annotations").exit_code == 0
    assert invoke("index", home / "annotations", "--out", home / "index").exit_code == 0
    readme = (REPOSITORY / "README.md").read_text()
    shown = re.findall(rf"^\$ aaam-pipe (search .* {home}/index)\n((?:\d.*\n)+)", readme, re.MULTILINE)
    assert len(shown) == 2
    for command, lines in shown:
        real = invoke(*shlex.split(command)).stdout
        assert hits(lines)[0] == hits(real)[0], real
        # another processor computes int8 a little differently
        assert hits(lines)[1] == pytest.approx(hits(real)[1], abs=0.1), real
        for one, other in zip(lines.splitlines(), real.splitlines(), strict=True):
            labels = (set(re.sub(r" [01]\.\d\d", "", line.split("\t")[2]).split(", ")) for line in (one, other))
            assert len(next(labels) ^ next(labels)) <= 2, real


def hits(text: str) -> tuple[list[str], list[float]]:
    cells = [line.split("\t") for line in text.splitlines()]
    return [each[1] for each in cells], [float(each[0]) for each in cells]
