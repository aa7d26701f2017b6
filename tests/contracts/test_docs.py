"""The documentation says what the code does: the command reference is generated, the README's words exist."""

import ast
import hashlib
import io
import re
import runpy
import shlex
import tokenize
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
import typer

from aaam_pipeline.cli.app import app

REPOSITORY = Path(__file__).parents[2]
# data and environments that git ignores are not looked at
IGNORED = {each for each in REPOSITORY.iterdir() if each.name in ("data", "models", "demo", "build", "dist", "shared")}
FILES = [
    path
    for top in sorted(REPOSITORY.iterdir())
    if not top.name.startswith(".") and top not in IGNORED
    for path in (sorted(top.rglob("*")) if top.is_dir() else [top])
]
PAGES = [path for path in FILES if path.suffix == ".md"]
# a page, module or settings file, as a comment or docstring names it; folders in capitals are placeholders
CITED = re.compile(r"(?<![\w/.*<>-])(?![A-Z]+/)[A-Za-z][\w./-]*\.(?:md|py|toml|yaml)\b(?!\()")


@pytest.mark.parametrize("page", ["docs/annotate.md", "docs/cli.md", "docs/architecture.md", "reports/methods.md"])
def test_generated_pages_are_up_to_date(page: str) -> None:
    generated = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))["PAGES"][page]()
    written = (REPOSITORY / page).read_text()
    assert written == generated, "run `make docs`"


def test_no_import_goes_up_and_none_in_a_circle() -> None:
    assert (
        "Imports up or sideways: 0. Circles, of rooms or of modules: 0."
        in (REPOSITORY / "docs" / "architecture.md").read_text()
    )


def test_commands_and_options_in_the_documentation_exist() -> None:
    commands = typer.main.get_group(app).commands
    for page in [*PAGES, REPOSITORY / "Makefile"]:
        for line in re.findall(r"^(?:\$ |\t@?)?(aaam-pipe .*)$", page.read_text(), re.MULTILINE):
            # what comes after a pipe is another program's
            words = list(takewhile(lambda word: word != "|", shlex.split(line, comments=True)[1:]))
            if not words or words[0].startswith("-"):
                continue
            assert words[0] in commands, f"{page.name}: {line}"
            command = commands[words[0]]
            command = getattr(command, "commands", {}).get(words[1], command) if words[1:] else command
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            assert {word for word in words[1:] if word.startswith("-")} <= known | {"--help"}, f"{page.name}: {line}"


def test_pages_for_users_speak_of_the_present() -> None:
    history = re.compile(r"commit [0-9a-f]{7}|\b(?:any ?more|formerly|used to|goes on|going on)\b")
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        assert not (found := history.search(page.read_text())), f"{page.name}: {found}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_python_in_the_documentation_runs(
    annotated: Path, indexed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(annotated.parent)
    assert {annotated.name, indexed.name} == {"annotations", "index"}
    blocks = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "documentation", "exec"), {})
        assert capsys.readouterr().out, block


def prose(path: Path) -> Iterator[str]:
    """Yield the comments and docstrings of a module."""
    text = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_files_that_modules_cite_are_in_the_repository() -> None:
    known = [f"/{path.relative_to(REPOSITORY).as_posix()}" for path in FILES]
    for path in FILES:
        if path.suffix == ".py":
            cited = {name for text in prose(path) for name in CITED.findall(text)}
            missing = {name for name in cited if not any(each.endswith(f"/{name}") for each in known)}
            assert not missing, path.relative_to(REPOSITORY)


def test_the_license_is_the_unchanged_text_of_apache_2() -> None:
    digest = hashlib.md5((REPOSITORY / "LICENSE").read_bytes(), usedforsecurity=False).hexdigest()
    assert digest == "3b83ef96387f14655fc854ddc3c6bd57"
