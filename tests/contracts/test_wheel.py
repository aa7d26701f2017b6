"""The wheel: what is in it, and that it works in an environment without this repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PACKAGE = "aaam_pipeline"
NOT_SHIPPED = ("tests", "stages", "benchmarks")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that knows nothing of this repository; return what it wrote to stdout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AAAM_", "PIP_"))}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources, so that nothing is written into the repository."""
    source = tmp_path_factory.mktemp("source")
    for folder in (PACKAGE, *NOT_SHIPPED):
        shutil.copytree(REPOSITORY / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    run(sys.executable, "-c", "import setuptools.build_meta as backend; backend.build_wheel('dist')", cwd=source)
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a new environment: the wheel, and the packages that it depends on from this environment."""
    folder = tmp_path_factory.mktemp("clean") / "env"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    # first the wheel: pip would find this environment's package and leave it
    options = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # a path in a .pth file: what is installed as editable there is not found by it
    (packages / "dependencies.pth").write_text(
        "\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    )
    found = run(python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=folder)
    assert Path(found.strip()).is_relative_to(packages)
    return python.parent


def test_the_wheel_holds_the_package_with_all_its_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    information = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    files = [path for path in (REPOSITORY / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert names - information == {path.relative_to(REPOSITORY).as_posix() for path in files}
    assert {f"{PACKAGE}/{name}" for name in ("py.typed", "search/thesaurus.yaml", "evaluation/paper.yaml")} <= names
    assert any(name.endswith("licenses/LICENSE") for name in information)


def test_its_command_says_its_version(commands: Path, wheel: Path) -> None:
    assert run(commands / "aaam-pipe", "--version", cwd=wheel.parent).split()[-1] == wheel.name.split("-")[1]


def test_its_thesaurus_is_the_one_of_the_repository(commands: Path, tmp_path: Path) -> None:
    shipped = (REPOSITORY / PACKAGE / "search" / "thesaurus.yaml").read_text()
    assert yaml.safe_load(run(commands / "aaam-pipe", "labels", "--words", cwd=tmp_path)) == yaml.safe_load(shipped)


def test_it_searches_an_index(commands: Path, toy_index: Path, tmp_path: Path) -> None:
    found = run(
        commands / "aaam-pipe", "search", "people -boat", "--top", "3", "--csv", "--index", toy_index, cwd=tmp_path
    )
    assert len(found.splitlines()) == 4
    photo = found.splitlines()[1].split(",")[3]
    assert run(commands / "aaam-pipe", "similar", photo, "--top", "2", "--index", toy_index, cwd=tmp_path)
