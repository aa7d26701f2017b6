"""The documentation says what the code does: the command reference is generated, the README's words exist."""

import re
import runpy
import shlex
from itertools import takewhile
from pathlib import Path

import pytest
import typer

from aaam_pipeline.cli.app import app

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_the_command_reference_is_up_to_date() -> None:
    generated = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))["text"]()
    assert (REPOSITORY / "docs" / "cli.md").read_text() == generated, "run `make docs`"


def test_commands_and_options_in_the_documentation_exist() -> None:
    commands = typer.main.get_group(app).commands
    for page in PAGES:
        for line in re.findall(r"^(?:\$ )?(aaam-pipe .*)$", page.read_text(), re.MULTILINE):
            # what comes after a pipe is another program's
            words = list(takewhile(lambda word: word != "|", shlex.split(line, comments=True)[1:]))
            if not words or words[0].startswith("-"):
                continue
            assert words[0] in commands, f"{page.name}: {line}"
            command = commands[words[0]]
            command = getattr(command, "commands", {}).get(words[1], command) if words[1:] else command
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            assert {word for word in words[1:] if word.startswith("-")} <= known | {"--help"}, f"{page.name}: {line}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, *sorted((REPOSITORY / "reports").glob("*.md"))]:
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
