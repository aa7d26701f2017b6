"""`aaam-pipe verify`: what it prints, where, and with which exit code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import Invoke

from aaam_pipeline.core.artifacts import read_json
from aaam_pipeline.formats.parts import AnnotationsManifest


def test_sound_annotations_are_one_line_of_sums(partly_failed: Path, invoke: Invoke) -> None:
    done = invoke("verify", partly_failed)
    manifest = read_json(partly_failed / "_manifest.json", AnnotationsManifest, "")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{partly_failed}: sound; 12 inputs = 6 ok + 6 failed, in 6 parts, annotated with {manifest.model_id}\n"
    )


def test_the_folder_by_default_is_that_which_annotate_writes(annotated: Path, invoke: Invoke) -> None:
    shutil.copytree(annotated, "annotations")
    assert invoke("verify").stdout.startswith("annotations: sound; 24 inputs = 24 ok + 0 failed")


def test_json_is_one_object_and_nothing_else(partly_failed: Path, invoke: Invoke) -> None:
    done = invoke("verify", partly_failed, "--json")
    assert done.exit_code == 0
    assert done.stderr == ""
    facts = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert facts == {"inputs": 12, "ok": 6, "failed": 6, "parts": 6, "model_id": facts["model_id"]}


def test_damage_is_exit_code_4_and_one_line_on_stderr(annotated: Path, invoke: Invoke) -> None:
    folder = Path(shutil.copytree(annotated, "broken"))
    part = folder / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    for words in ([], ["--json"], ["--quiet"]):
        done = invoke("verify", folder, *words)
        assert (done.exit_code, done.stdout) == (4, "")
        assert done.stderr == (
            "error: broken is damaged: broken/part-00001.parquet was changed: its SHA-256 is not that of its stats\n"
        )


def test_an_index_is_verified_as_one(indexed: Path, invoke: Invoke) -> None:
    folder = Path(shutil.copytree(indexed, "index"))
    done = invoke("verify", folder)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("index: sound; 24 images, 5 labels, annotated with toy-bce-")
    facts = json.loads(invoke("verify", folder, "--json").stdout)
    assert facts == {"images": 24, "labels": 5, "model_id": facts["model_id"]}
    scores = bytearray((folder / "scores.duckdb").read_bytes())
    scores[-5] ^= 8
    (folder / "scores.duckdb").write_bytes(scores)
    done = invoke("verify", folder)
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr == "error: index/scores.duckdb was changed: its SHA-256 is not that of the manifest\n"


def test_what_is_no_annotations_folder_is_exit_code_2(tmp_path: Path, invoke: Invoke) -> None:
    Path("empty").mkdir()
    Path("file").touch()
    for name in ("empty", "file", "missing"):
        why = "nothing is there" if name == "missing" else "it has no _manifest.json"
        done = invoke("verify", name)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"error: {name} is not an annotations folder: {why}\n"
    Path("stopped.partial").mkdir()
    why = "what makes it has not finished; give that command again"
    assert invoke("verify", "stopped").stderr == f"error: stopped is not an annotations folder: {why}\n"


def test_neither_torch_nor_ray_is_loaded(annotated: Path) -> None:
    program = (
        "import sys; sys.argv = ['aaam-pipe', 'verify', sys.argv[1], '--json']\n"
        "from aaam_pipeline.__main__ import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'torchvision', 'ray', 'openvino'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(annotated)],
        env={name: value for name, value in os.environ.items() if not name.startswith("AAAM_")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] == 24
