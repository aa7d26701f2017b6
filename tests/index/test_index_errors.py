"""What is busy, full, special or of another kind is called that, and never damaged."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import rewrite_json

import aaam_pipeline.search as search
from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import AaamError, UsageError, VersionError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.recordings import read_recording
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.index.vectors import write_faiss


@pytest.fixture
def copied(indexed: Path, tmp_path: Path) -> Path:
    shutil.copytree(indexed, tmp_path / "index")
    return tmp_path / "index"


@pytest.mark.parametrize("name", ["s3:x", "sqlite:x", ":memory:", "md:x", "x?y", "it's"])
def test_an_index_may_have_any_name(
    name: str, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # and once more, from the previous one
    for _ in range(2):
        build(annotated, Path(name), NullReporter())
        with search.open(name) as index:
            assert index.query("grass")
        rewrite_json(Path(name) / manifests.PARTS.replace("parts", "manifest"), annotations=[])


def test_an_index_that_another_program_has_open_is_not_damaged(copied: Path) -> None:
    program = "import duckdb, sys; opened = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", program, str(copied / manifests.SCORES)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(AaamError, match=rf"is open in another program .process {other.pid}.") as caught:
            search.open(copied)
        other.communicate()
    assert caught.value.exit_code == 1
    search.open(copied).close()


def test_a_manifest_with_one_field_more_is_a_newer_one(copied: Path) -> None:
    content = json.loads((copied / "manifest.json").read_text())
    content |= {"later": 1, "hash": ""}
    (copied / "manifest.json").write_text(json.dumps(content | {"hash": fingerprint(content)}))
    with pytest.raises(VersionError, match=r"manifest\.json was made by a newer version of aaam-pipe"):
        search.open(copied)


def test_vectors_that_this_faiss_does_not_know_are_not_damaged(copied: Path) -> None:
    (copied / manifests.VECTORS).write_bytes(b"IxXX" + (copied / manifests.VECTORS).read_bytes()[4:])
    manifests.write(copied, manifests.read(copied))
    with search.open(copied) as index, pytest.raises(VersionError, match=r"FAISS .*; build it again"):
        _ = index.vectors


def test_annotations_for_an_index_and_the_other_way_round(annotated: Path, copied: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds annotations, not an index; aaam-pipe index "):
        search.open(annotated)
    with pytest.raises(UsageError, match="is an index, not an annotations folder"):
        build(copied, tmp_path / "other", NullReporter())


# the command line, with a limit on the size of files from when an index is built
LIMITED = """
import resource, sys
from aaam_pipeline.__main__ import main
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
main()
"""


@pytest.mark.parametrize("limit", [0, 5000, 200_000])
def test_without_room_for_the_index_the_old_one_stays(limit: int, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    words = [sys.executable, "-c", LIMITED, str(limit), "index", str(annotated), "--out", str(out), "-q"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert "damaged" not in done.stderr
    assert not [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_vectors_that_do_not_fit_are_noticed_to_the_last_byte() -> None:
    vectors = faiss.IndexFlatIP(4)
    vectors.add(np.ones((1, 4), np.float32))
    with pytest.raises(OSError, match="No space left"):
        write_faiss(vectors, Path("/dev/full"))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_annotations_that_a_disk_does_not_give_are_not_damaged(
    code: int, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code), "part-00000.parquet")

    for name in ("ParquetFile", "read_metadata"):
        monkeypatch.setattr(pq, name, refuse)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        build(annotated, tmp_path / "index", NullReporter())
    assert caught.value.filename
    assert not (tmp_path / "index.partial").exists()
    (tmp_path / "scores.parquet").touch()
    monkeypatch.setattr(pq, "read_table", refuse)
    for read in (read_scores, read_recording):
        with pytest.raises(OSError, match=os.strerror(code)):
            read(tmp_path / "scores.parquet")


@pytest.mark.parametrize("changed", [{"schema_version": manifests.VERSION + 1}, {"new_field": 1}])
def test_an_index_of_a_newer_version_is_not_replaced(changed: dict[str, int], annotated: Path, copied: Path) -> None:
    rewrite_json(copied / "manifest.json", **changed)
    before = (copied / "manifest.json").read_bytes()
    with pytest.raises(VersionError, match="newer version of aaam-pipe"):
        build(annotated, copied, NullReporter())
    assert (copied / "manifest.json").read_bytes() == before


def test_an_index_of_an_older_version_or_a_damaged_one_is_replaced(annotated: Path, copied: Path) -> None:
    for damage in (b"{", b'{"schema_version": 99}'):
        (copied / "manifest.json").write_bytes(damage)
        build(annotated, copied, NullReporter())
    rewrite_json(copied / "manifest.json", schema_version=1)
    assert build(annotated, copied, NullReporter()).schema_version == manifests.VERSION


def test_an_index_is_not_built_within_annotations(annotated: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(annotated, tmp_path / "annotations")
    with pytest.raises(UsageError, match=r"lies in .*annotations, which annotate replaces as a whole"):
        build([annotated, copy], copy / "index", NullReporter())
    assert not (copy / "index").exists()
