import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_bundle, make_photo

from aaam_pipeline.annotate import runner, sources
from aaam_pipeline.annotate.mapper import Assignment
from aaam_pipeline.annotate.runner import Options
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import Advance
from aaam_pipeline.core.schema import AnnotationsManifest

# batches end where parts do, as by default: so a resumed run computes in the very same batches
PARTS = Options(part_size=6, batch_size=2, num_workers=0)


class Watcher:
    """Keeps what is said, and presses Ctrl-C once `stop_after` images of this run are done."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.said: list[str] = []
        self.stop_after = stop_after

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        done = -1

        def advance(count: int) -> None:
            nonlocal done
            # the first step tells what an earlier run did
            done = 0 if done < 0 else done + count
            if self.stop_after is not None and done >= self.stop_after > 0:
                raise KeyboardInterrupt

        yield advance

    def say(self, text: str) -> None:
        self.said.append(text)


def annotate(
    folder: Path, model: Path, out: Path, options: Options = PARTS, stop_after: int | None = None
) -> tuple[AnnotationsManifest, str]:
    watcher = Watcher(stop_after)
    return runner.annotate(sources.find([folder]), model, out, options, watcher), "\n".join(watcher.said)


def interrupted(folder: Path, model: Path, out: Path, options: Options = PARTS, after: int = 12) -> Path:
    with pytest.raises(KeyboardInterrupt):
        annotate(folder, model, out, options, stop_after=after)
    return out.with_name(f"{out.name}.partial")


def rows(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted(out.glob("part-*.parquet"))])


def states(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "annotations"
    annotate(photos, tiny_bundle, out)
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "annotations"


def test_an_interrupted_run_leaves_no_output_that_looks_whole(photos: Path, tiny_bundle: Path, out: Path) -> None:
    work = interrupted(photos, tiny_bundle, out)
    assert not out.exists()
    manifest = json.loads((work / "manifest.json").read_text())
    assert manifest["parts"] == 0
    assert sorted(path.name for path in work.glob("part-*.parquet")) == ["part-00000.parquet", "part-00001.parquet"]


@pytest.mark.parametrize("after", [2, 6, 14])
def test_the_same_command_goes_on_and_ends_as_if_nothing_had_happened(
    after: int, photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path
) -> None:
    work = interrupted(photos, tiny_bundle, out, after=after)
    done = states(work)
    manifest, said = annotate(photos, tiny_bundle, out)
    assert f"going on with an interrupted run: {after // 6 * 6} of 24 images are done" in said
    assert rows(out).equals(rows(undisturbed))
    assert manifest == AnnotationsManifest(**json.loads((undisturbed / "manifest.json").read_text()))
    kept = {name: state for name, state in done.items() if name.startswith("part-")}
    assert len(kept) == 2 * (after // 6)
    assert kept.items() <= states(out).items()
    assert not work.exists()


def test_several_interruptions_in_a_row_lose_nothing(
    photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path
) -> None:
    for number in range(1, 4):
        work = interrupted(photos, tiny_bundle, out, after=6)
        assert len(list(work.glob("part-*_stats.json"))) == number
    annotate(photos, tiny_bundle, out)
    assert rows(out).equals(rows(undisturbed))


def test_a_run_stopped_before_it_was_published_has_only_that_left_to_do(
    photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Path) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "publish", stop)
        work = interrupted(photos, tiny_bundle, out, after=0)
    done = {name: state for name, state in states(work).items() if name.startswith("part-")}
    assert len(done) == 8
    _, said = annotate(photos, tiny_bundle, out)
    assert "24 of 24 images are done" in said
    assert done.items() <= states(out).items()
    assert rows(out).equals(rows(undisturbed))


@pytest.mark.parametrize("left", ["part-00001_stats.json", "part-00001.parquet", "part-00000_stats.json"])
def test_a_part_without_its_done_mark_is_made_again(
    left: str, photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path
) -> None:
    work = interrupted(photos, tiny_bundle, out)
    (work / left).unlink()
    if left.endswith("_stats.json"):
        (work / left.replace("_stats.json", ".parquet")).write_bytes(b"PAR1 cut off")
    annotate(photos, tiny_bundle, out)
    assert rows(out).equals(rows(undisturbed))


def add_photo(folder: Path) -> None:
    make_photo(folder / "zzz.jpg", 99)


def touch_photo(folder: Path) -> None:
    os.utime(folder / "001.jpg", (1, 1))


@pytest.mark.parametrize("change", ["model", "settings", "part_size", add_photo, touch_photo])
def test_work_that_differs_is_not_mixed(
    change: str | Callable[[Path], None], photos: Path, tiny_bundle: Path, out: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    work = interrupted(folder, tiny_bundle, out)
    model, options = tiny_bundle, PARTS
    if change == "model":
        model = make_bundle(tmp_path / "other", seed=2)
    elif change == "settings":
        options = PARTS._replace(assignment=Assignment(top=1))
    elif change == "part_size":
        options = PARTS._replace(part_size=8)
    elif callable(change):
        change(folder)
    # only begun: started anew, without a word of going on
    manifest, said = annotate(folder, model, out, options)
    assert "going on" not in said
    assert not work.exists()
    table = rows(out)
    assert set(table["model_id"].to_pylist()) == {manifest.model_id}
    assert table["path"].to_pylist() == [source.path for source in sources.find([folder])]
    # whole: refused, and untouched; "add" and "touch" went on to the same inputs, so the old ones are asked for
    if callable(change):
        (folder / "000.jpg" if (folder / "000.jpg").exists() else folder / "001.jpg").unlink()
    before = states(out)
    with pytest.raises(UsageError, match="holds other work"):
        annotate(folder, tiny_bundle, out, PARTS)
    assert states(out) == before
    assert not work.exists()


def test_other_thresholds_of_the_same_weights_are_other_work(
    photos: Path, tiny_bundle: Path, out: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_bundle, model)
    annotate(photos, model, out)
    info = json.loads((model / "bundle.json").read_text())
    (model / "bundle.json").write_text(json.dumps(info | {"thresholds": [0.1] * len(info["thresholds"])}))
    with pytest.raises(UsageError, match="holds other work"):
        annotate(photos, model, out)


def test_batch_size_and_workers_are_no_other_work(photos: Path, tiny_bundle: Path, out: Path) -> None:
    interrupted(photos, tiny_bundle, out)
    _, said = annotate(photos, tiny_bundle, out, PARTS._replace(batch_size=5, num_workers=2))
    assert "going on" in said


def test_finished_work_is_left_alone(photos: Path, tiny_bundle: Path, out: Path) -> None:
    first, _ = annotate(photos, tiny_bundle, out)
    before = states(out)
    second, said = annotate(photos, tiny_bundle, out)
    assert "nothing to do" in said
    assert second == first
    assert states(out) == before


def test_on_existing_error_stops_and_overwrite_replaces(photos: Path, tiny_bundle: Path, out: Path) -> None:
    annotate(photos, tiny_bundle, out)
    before = states(out)
    with pytest.raises(UsageError, match="exists; choose another --out"):
        annotate(photos, tiny_bundle, out, PARTS._replace(on_existing="error"))
    assert states(out) == before
    overwrite = PARTS._replace(on_existing="overwrite", assignment=Assignment(top=1))
    annotate(photos, tiny_bundle, out, overwrite)
    assert {len(labels) for labels in rows(out)["labels"].to_pylist()} == {1}
    assert not (states(out).keys() & before.keys()) - states(out).keys()


def test_overwriting_keeps_the_old_folder_until_the_new_one_is_whole(
    photos: Path, tiny_bundle: Path, out: Path
) -> None:
    annotate(photos, tiny_bundle, out)
    before = states(out)
    overwrite = PARTS._replace(on_existing="overwrite", assignment=Assignment(top=1))
    interrupted(photos, tiny_bundle, out, overwrite)
    assert states(out) == before
    _, said = annotate(photos, tiny_bundle, out, overwrite)
    assert "going on" in said
    assert {len(labels) for labels in rows(out)["labels"].to_pylist()} == {1}


def make_file(out: Path) -> None:
    out.write_text("mine")


def make_folder(out: Path) -> None:
    out.mkdir()
    (out / "novel.txt").write_text("mine")


def make_web_project(out: Path) -> None:
    out.mkdir()
    (out / "manifest.json").write_text('{"name": "my web page"}')
    (out / "index.html").write_text("mine")


def make_repository(out: Path) -> None:
    (out / ".git").mkdir(parents=True)
    (out / ".git" / "HEAD").write_text("mine")


@pytest.mark.parametrize("on_existing", ["resume", "overwrite", "error"])
@pytest.mark.parametrize("make", [make_file, make_folder, make_web_project, make_repository])
def test_what_is_no_annotations_folder_is_never_replaced(
    make: Callable[[Path], None], on_existing: runner.OnExisting, photos: Path, tiny_bundle: Path, out: Path
) -> None:
    make(out)
    before = sorted((path, path.stat().st_mtime_ns) for path in [out, *out.rglob("*")])
    with pytest.raises(UsageError, match="is not an annotations folder"):
        annotate(photos, tiny_bundle, out, PARTS._replace(on_existing=on_existing))
    assert sorted((path, path.stat().st_mtime_ns) for path in [out, *out.rglob("*")]) == before


def test_an_index_is_not_replaced_by_annotations(indexed: Path, photos: Path, tiny_bundle: Path, out: Path) -> None:
    shutil.copytree(indexed, out)
    with pytest.raises(UsageError, match="is not an annotations folder"):
        annotate(photos, tiny_bundle, out, PARTS._replace(on_existing="overwrite"))
    assert (out / "scores.duckdb").is_file()


def test_an_empty_folder_is_written_into(photos: Path, tiny_bundle: Path, out: Path) -> None:
    out.mkdir()
    annotate(photos, tiny_bundle, out)
    assert rows(out).num_rows == 24


@pytest.mark.parametrize("place", ["/proc/annotations", "file/annotations", "file/deeper/annotations"])
def test_a_place_that_cannot_be_written_is_a_usage_error_of_one_line(
    place: str, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot write to") as caught:
        annotate(photos, tiny_bundle, tmp_path / place)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_wrong_model_leaves_nothing_behind(photos: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="is not a model bundle"):
        annotate(photos, photos, out)
    assert list(out.parent.iterdir()) == []
