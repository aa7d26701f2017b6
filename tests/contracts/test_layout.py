"""Where a project's files lie is known to core/project.py alone; other modules get paths from it, or as arguments."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaam_pipeline.core.project import Project

REPOSITORY = Path(__file__).parents[2]
MODULES = [path for room in ("aaam_pipeline", "stages") for path in sorted((REPOSITORY / room).rglob("*.py"))]
LAYOUT = REPOSITORY / "aaam_pipeline" / "core" / "project.py"
FOLDERS = ("data", "models", "scores", "plots", "reports", "figures", "features", "retrieval", ".aaam", "params.yaml")


def is_path(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split("/")[0] in FOLDERS


def layout_in(code: str) -> Iterator[str]:
    """Yield the paths of the layout that a module spells: an argument of Path, what stands beside a `/`, or a text."""
    for node in ast.walk(ast.parse(code)):
        named: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Path":
            named = node.args[:1]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            named = [node.right]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # `data/prepared`, and no sentence
            named = [node] if "/" in node.value and " " not in node.value and "data:" not in node.value else []
        yield from (ast.unparse(each) for each in named if is_path(each))


@pytest.mark.parametrize(
    "code",
    [
        'Path("scores", name)',
        'base / "models" / name',
        'x = "data/prepared"',
        'Path("params.yaml")',
        '".aaam/download"',
    ],
)
def test_a_path_is_seen(code: str) -> None:
    assert list(layout_in(code))


@pytest.mark.parametrize(
    "code",
    ['Path("/proc/self")', 'table["scores"]', '"scores of images/videos"', 'x = "models"', 'path / "scores.csv"'],
)
def test_what_is_no_path_of_the_layout_is_not_seen(code: str) -> None:
    assert not list(layout_in(code))


def test_only_the_project_knows_the_layout() -> None:
    assert list(layout_in(LAYOUT.read_text()))
    found = {path.relative_to(REPOSITORY): list(layout_in(path.read_text())) for path in MODULES if path != LAYOUT}
    assert {path: names for path, names in found.items() if names} == {}


def test_paths_lie_below_the_root() -> None:
    project = Project(Path("/there"))
    assert len(vars(project)) > 5
    assert all(path.is_relative_to("/there") for path in vars(project).values())
    assert project.scores("scenes", "bce") == Path("/there/scores/scenes/bce.parquet")
    assert Project().work("train", "scenes", "bce") == Path(".aaam/train/scenes/bce")
