"""Annotations of an older version are refused by everything that reads them, with one line that says what to do."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Invoke, make_photo, rewrite_json

from aaam_pipeline.annotate import writer
from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.formats import SCHEMA_VERSION
from aaam_pipeline.formats.parts import part_path


@pytest.fixture
def first(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> Path:
    """Annotations of version 1 as a run of then left them: no dates of photographs."""
    shutil.copytree(tiny_bundle, tmp_path / "model")
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    assert annotate(invoke) == (0, [])
    folder = tmp_path / "annotations"
    part = part_path(folder, 0)
    rows = pq.read_table(part).drop_columns(["taken", "taken_offset"])
    writer.write_part(part, rows.replace_schema_metadata({"aaam_schema_version": "1"}), 0.0)
    give_version(folder, 1)
    return folder


def give_version(folder: Path, version: int) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    hash = fingerprint([version, manifest["model_id"], manifest["settings"]])
    rewrite_json(folder / "manifest.json", schema_version=version, settings_hash=hash)


def annotate(invoke: Invoke, *words: str) -> tuple[int, list[str]]:
    """Annotate by command line; return the exit code and the errors."""
    done = invoke("annotate", "photos", "--model", "model", "--backend", "torch", "--num-workers", 0, *words)
    return done.exit_code, [line for line in done.stderr.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("command", ["verify", "index"])
def test_an_older_version_is_refused_and_the_way_out_named(command: str, first: Path, invoke: Invoke) -> None:
    done = invoke(command, "annotations")
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr == (
        f"error: annotations holds annotations of version 1, but version {SCHEMA_VERSION} is known; "
        "annotate again with --on-existing overwrite\n"
    )


@pytest.mark.parametrize("command", ["verify", "index"])
def test_a_newer_version_is_refused_too(command: str, first: Path, invoke: Invoke) -> None:
    give_version(first, SCHEMA_VERSION + 1)
    done = invoke(command, "annotations")
    assert done.exit_code == 4
    assert done.stderr.endswith(f"version {SCHEMA_VERSION} is known; a newer aaam-pipe reads them\n")


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--retry-failed",)])
def test_an_older_version_is_not_continued(words: tuple[str, ...], first: Path, invoke: Invoke) -> None:
    refused = (
        f"error: annotations holds annotations of version 1, but version {SCHEMA_VERSION} is known; "
        "annotate again with --on-existing overwrite"
    )
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    assert annotate(invoke, *words) == (4, [refused])
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_an_older_version_is_replaced_when_asked(first: Path, invoke: Invoke) -> None:
    assert annotate(invoke, "--on-existing", "overwrite") == (0, [])
    assert invoke("verify", "annotations").exit_code == 0
    assert pq.read_table(part_path(first, 0))["taken"].null_count == 2
    assert invoke("index", "annotations").exit_code == 0


def test_an_interrupted_run_of_an_older_version_is_begun_anew(first: Path, invoke: Invoke) -> None:
    partial = first.with_name("annotations.partial")
    plan = {"listing_hash": "", "fresh": True, "retry_failed": False, "part_size": 1024, "base": ""}
    manifest = json.loads((first / "manifest.json").read_text())
    partial.mkdir()
    first.rename(partial / "rows")
    (partial / "rows" / "manifest.json").unlink()
    (partial / "plan.json").write_text(json.dumps(plan | {"manifest": manifest}))
    assert annotate(invoke) == (0, [])
    assert invoke("verify", "annotations").exit_code == 0
    assert not partial.exists()
