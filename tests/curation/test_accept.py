"""Labels that are accepted of other annotations: exactly those, sound, and back again byte for byte."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import LABELS, make_bundle, rewrite_json

import aaam_pipeline.search as search
from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.annotate.verify import verify
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.accept import accept, revert
from aaam_pipeline.curation.diff import compare
from aaam_pipeline.curation.relabel import relabel
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.decisions import resolve
from aaam_pipeline.index.build import build

QUIET = NullReporter()
# dog and grass are known to both models, football is gone, boat and sky are new
OTHERS = ["boat", "dog", "grass", "sky"]


@pytest.fixture(scope="module")
def other(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of the same photographs by another model, with other words and another threshold. Read only."""
    folder = tmp_path_factory.mktemp("other")
    bundle = make_bundle(folder / "bundle", OTHERS, seed=7, threshold=0.4)
    options = runner.Options(part_size=7, backend="torch", num_workers=0)
    runner.annotate(inputs.find([photos]), bundle, folder / "annotations", options, QUIET)
    return folder / "annotations"


@pytest.fixture
def copy(annotated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(annotated, tmp_path / "annotations"))


def rows(folder: Path) -> dict[str, dict[str, object]]:
    found = pa.concat_tables([pq.read_table(part) for part in sorted(folder.glob("part-*.parquet"))])
    return {row["path"]: row for row in found.to_pylist()}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def has(row: dict[str, object], label: str) -> bool:
    return label in row["labels"]  # type: ignore[operator]


def test_accepted_labels_are_those_after_and_held_ones_those_before(copy: Path, other: Path, tmp_path: Path) -> None:
    before, after, was = rows(copy), rows(other), contents(copy)
    accept(copy, other, ["DOG", "sky", "football"], QUIET)
    manifest, now = verify(copy, QUIET), rows(copy)
    # football is gone after, and that was accepted; boat is new, and held
    assert manifest.vocabulary == ["dog", "grass", "sky", "traffic light", "person"]
    assert manifest.thresholds == [0.4, 0.5, 0.4, 0.5, 0.5]
    assert now.keys() == before.keys()
    for path, row in now.items():
        for label in ("dog", "sky"):
            assert has(row, label) == has(after[path], label)
            score = after[path]["scores"][OTHERS.index(label)]  # type: ignore[index]
            assert row["scores"][manifest.vocabulary.index(label)] == score  # type: ignore[index]
        for label in ("grass", "traffic light", "person"):
            assert has(row, label) == has(before[path], label)
            score = before[path]["scores"][LABELS.index(label)]  # type: ignore[index]
            assert row["scores"][manifest.vocabulary.index(label)] == score  # type: ignore[index]
        assert row["embedding"] == after[path]["embedding"]
    again = {each.label: each for each in compare(copy, other, resolve([]), QUIET).labels}
    assert not any(again[label].gained or again[label].lost for label in ("dog", "sky"))
    with search.open(_index(copy, tmp_path)) as index:
        assert {hit.path for hit in index.query("sky")} <= now.keys()
    revert(copy)
    assert contents(copy) == was
    with pytest.raises(UsageError, match="nothing to undo"):
        revert(copy)


def _index(folder: Path, tmp_path: Path) -> Path:
    build(folder, tmp_path / "index", QUIET)
    return tmp_path / "index"


def test_all_that_is_after_goes_on_as_its_model(copy: Path, other: Path) -> None:
    manifest = accept(copy, other, [*LABELS, *OTHERS], QUIET)
    theirs = verify(other, QUIET)
    assert (manifest.model_id, manifest.settings_hash) == (theirs.model_id, theirs.settings_hash)
    assert {path: row["labels"] for path, row in rows(copy).items()} == {
        path: row["labels"] for path, row in rows(other).items()
    }
    verify(copy, QUIET)


def test_accepting_twice_reverts_to_the_first(copy: Path, other: Path) -> None:
    accept(copy, other, ["dog"], QUIET)
    first = contents(copy)
    accept(copy, other, ["dog", "sky"], QUIET)
    verify(copy, QUIET)
    revert(copy)
    assert contents(copy) == first


def test_a_dry_run_and_what_is_refused_write_nothing(copy: Path, other: Path, tmp_path: Path) -> None:
    was = contents(copy)
    assert accept(copy, other, ["dog"], QUIET, dry_run=True).vocabulary == ["dog", "grass", *LABELS[1:4]]
    with pytest.raises(UsageError, match="one folder"):
        accept(copy, copy, ["dog"], QUIET)
    fewer = tmp_path / "fewer"
    shutil.copytree(other, fewer)
    _drop_last_part(fewer)
    with pytest.raises(UsageError, match=r"3 photographs of .* have no row in"):
        accept(copy, fewer, ["dog"], QUIET)
    ranked = Path(shutil.copytree(other, tmp_path / "ranked"))
    rewrite_json(ranked / "_manifest.json", settings=lambda settings: settings | {"top": 2})
    with pytest.raises(UsageError, match="by rank"):
        accept(copy, ranked, ["dog"], QUIET)
    assert contents(copy) == was
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations", "fewer", "ranked"]
    accept(copy, fewer, ["dog"], QUIET, drop_missing=True)
    assert len(rows(copy)) == 21


def test_what_another_process_writes_until_it_is_done_counts(
    copy: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def waiting(folder: Path) -> Iterator[None]:
        relabel(folder, Assignment(threshold=0.9), QUIET)
        with exclusive(folder):
            yield

    monkeypatch.setattr("aaam_pipeline.curation.accept.exclusive", waiting)
    accept(copy, other, ["dog"], QUIET)
    assert verify(copy, QUIET).thresholds == [0.4, 0.9, 0.9, 0.9, 0.9]


def _drop_last_part(folder: Path) -> None:
    parts = sorted(folder.glob("part-*.parquet"))
    gone = pq.read_table(parts[-1]).num_rows
    parts[-1].unlink()
    (folder / f"_{parts[-1].stem}.json").unlink()
    rewrite_json(
        folder / "_manifest.json",
        parts=len(parts) - 1,
        inputs=lambda inputs: inputs - gone,
        successes=lambda successes: successes - gone,
    )


def test_killed_at_any_moment_the_folder_holds_either_and_can_be_reverted(copy: Path, other: Path) -> None:
    was = contents(copy)
    code = (
        "import sys; from pathlib import Path; from aaam_pipeline.core.progress import NullReporter; "
        "from aaam_pipeline.curation.accept import accept; print('begin', flush=True); "
        "accept(Path(sys.argv[1]), Path(sys.argv[2]), ['dog'], NullReporter())"
    )
    published = None
    for moment in (0.0, 0.02, 0.05, 1.0):
        run = subprocess.Popen([sys.executable, "-c", code, copy, other], stdout=subprocess.PIPE)
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(moment)
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
        now = contents(copy)
        verify(copy, QUIET)
        if now != was:
            assert published in (None, now)
            published = now
            revert(copy)
        assert contents(copy) == was
    accept(copy, other, ["dog"], QUIET)
    assert published in (None, contents(copy))
