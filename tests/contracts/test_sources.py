import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CODE = sorted((REPOSITORY / "aaam_pipeline").rglob("*.py"))
OTHERS = sorted(path for room in ("benchmarks", "stages", "tests") for path in (REPOSITORY / room).rglob("*.py"))
MAX_FILE, MAX_FUNCTION = 300, 60
# hosts and paths of package registries and their mirrors, in an address
REGISTRY = re.compile(
    r"://[^\s/'\"]*(?:pypi|pythonhosted|nexus|artifactory|devpi|\banaconda\b)|://\S*/(?:simple|pypi)\b"
)
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")


def tracked() -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    yield from (REPOSITORY / name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file())


def too_long(path: Path) -> Iterator[str]:
    text = path.read_text()
    lines = len(text.splitlines())
    if lines > MAX_FILE:
        yield f"{path}: {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno
            if lines >= MAX_FUNCTION:
                yield f"{path}: {node.name} has {lines} lines"


def test_files_and_functions_stay_readable() -> None:
    assert CODE
    assert [each for path in CODE for each in too_long(path)] == []


def test_other_files_are_no_longer_than_those_of_the_package() -> None:
    assert OTHERS
    assert [path for path in OTHERS if len(path.read_text().splitlines()) > MAX_FILE] == []


def class_names() -> Iterator[tuple[str, str]]:
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name, path.relative_to(REPOSITORY).as_posix()


def test_no_two_classes_have_one_name() -> None:
    where: dict[str, list[str]] = {}
    for name, path in class_names():
        where.setdefault(name, []).append(path)
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


def test_the_pattern_knows_a_registry_when_it_sees_one() -> None:
    for host in (
        "py" + "pi.org/project/torch",
        "files.python" + "hosted.org/x",
        "10.0.0.1:8081/repository/py/" + "simple",
    ):
        assert REGISTRY.search(f"https://{host}")
    assert not REGISTRY.search("https://pytorch.org/vision/stable/models.html and https://dvc.org/doc")


def test_no_tracked_file_holds_the_address_of_a_package_registry() -> None:
    for path in tracked():
        found = REGISTRY.search(path.read_bytes().decode("utf8", errors="replace"))
        assert not found, (path, found)


def test_constraints_hold_only_exact_versions() -> None:
    path = REPOSITORY / "constraints.txt"
    if not path.is_file():
        pytest.skip("no constraints.txt")
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    assert [line for line in lines if line and not PINNED.fullmatch(line)] == []
