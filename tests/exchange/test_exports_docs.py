"""The examples of docs/export.md run, each on what the command before it wrote."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Invoke

from aaam_pipeline.exchange.exporters.run import FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf8")
EXAMPLES = re.findall(r"## (\S[^\n]*)\n(?:(?!\n## ).)*?```sh\n([^`]*)```\n\n```py\n(.*?)```", PAGE, re.DOTALL)
EXTERNAL = re.compile(r"^(?:from|import) (pycocotools|fiftyone|webdataset|datasets)\b", re.MULTILINE)


def test_each_format_has_an_example_and_a_line_in_the_table() -> None:
    shown = {shlex.split(line)[2] for _, commands, _ in EXAMPLES for line in commands.splitlines()}
    assert shown == set(FORMATS) == set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize(("title", "commands", "code"), EXAMPLES, ids=[title for title, _, _ in EXAMPLES])
def test_an_example_runs(
    title: str, commands: str, code: str, annotated: Path, tmp_path: Path, invoke: Invoke,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shutil.copytree(annotated, tmp_path / "annotations")
    for line in commands.splitlines():
        result = invoke(*shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
    if needed := EXTERNAL.search(code):
        # a folder of tests has the name of one of them
        pytest.importorskip({"datasets": "datasets.load"}.get(needed[1], needed[1]))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    exec(compile(code, title, "exec"), {})
    assert capsys.readouterr().out
