"""`aaam-pipe health` as a shell sees it: lines, exit codes for jobs at night, and what is remembered."""

import json
import shutil
from pathlib import Path

import pytest
from cli.failures import failed
from conftest import LABELS, Invoke, rewrite_json

from aaam_pipeline.curation.health import LIMITS


@pytest.fixture
def library(indexed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(indexed, tmp_path / "index"))


def test_lines_for_people_and_for_programs(invoke: Invoke, library: Path) -> None:
    done = invoke("health", "--index", library)
    assert done.exit_code == 0, done.stderr
    shown = done.stdout.split("\n\n")[0]
    assert [line.split("\t")[0] for line in shown.splitlines()] == list(LIMITS)
    lines = [json.loads(line) for line in invoke("health", "--index", library, "--json").stdout.splitlines()]
    assert [line["check"] for line in lines if "check" in line] == list(LIMITS)
    assert {line["label"]: line["photographs"] for line in lines if "label" in line}.keys() == set(LABELS)


def test_exit_codes(invoke: Invoke, library: Path) -> None:
    words = ("health", "--index", library, "--limit", "never-assigned=0", "--limit", "mostly-wrong=0")
    assert invoke(*words).exit_code == 0
    assert invoke("health", "--index", library, "--fail-on", "failures").exit_code == 0
    rewrite_json(library / "manifest.json", failed=24)
    done = invoke("health", "--index", library, "--fail-on", "failures", "-q")
    assert done.exit_code == 3
    assert done.stderr == "error: beyond the limit: failures\n"
    assert "LIMIT" in done.stdout
    assert invoke("health", "--index", library, "--fail-on", "any").exit_code == 3
    assert invoke("health", "--index", library, "--fail-on", "failures", "--limit", "failures=0.9").exit_code == 0


def test_a_dry_run_remembers_nothing(invoke: Invoke, library: Path) -> None:
    record = library.with_name("index.health.json")
    assert invoke("health", "--index", library, "--dry-run").exit_code == 0
    assert not record.exists()
    assert invoke("health", "--index", library).exit_code == 0
    assert record.is_file()
    record.write_text("{}")
    failed(invoke("health", "--index", library), 4, "index.health.json is damaged")


@pytest.mark.parametrize("word", ["drift", "drift=", "drift=-1", "drift=nan", "drift=x", "size=1"])
def test_limits_that_are_none(invoke: Invoke, library: Path, word: str) -> None:
    failed(invoke("health", "--index", library, "--limit", word), 2, word.partition("=")[0])


def test_checks_that_there_are_not(invoke: Invoke, library: Path) -> None:
    failed(invoke("health", "--index", library, "--fail-on", "drifts"), 2, "no check 'drifts'", "drift")


def test_without_an_index(invoke: Invoke) -> None:
    failed(invoke("health"), 2, "no index here")
