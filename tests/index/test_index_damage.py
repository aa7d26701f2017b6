"""Annotations and outputs that are damaged or something else, and builds that are interrupted."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_bundle, rewrite_json

import aaam_pipeline.search as search
from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.errors import IntegrityError, UsageError, VersionError
from aaam_pipeline.core.progress import Advance, NullReporter
from aaam_pipeline.formats.parts import VERSION
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build


def states(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def copied(annotated: Path, tmp_path: Path) -> Path:
    """Annotations that a test may damage."""
    shutil.copytree(annotated, tmp_path / "annotations")
    return tmp_path / "annotations"


def remove_part(annotations: Path, model: Path) -> None:
    (annotations / "part-00001.parquet").unlink()


def truncate_part(annotations: Path, model: Path) -> None:
    content = (annotations / "part-00001.parquet").read_bytes()
    (annotations / "part-00001.parquet").write_bytes(content[: len(content) // 2])


def empty_part(annotations: Path, model: Path) -> None:
    (annotations / "part-00002.parquet").write_bytes(b"")


def remove_rows(annotations: Path, model: Path) -> None:
    path = annotations / "part-00001.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


def double_part(annotations: Path, model: Path) -> None:
    path = annotations / "part-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)


def mix_models(annotations: Path, model: Path) -> None:
    photos = Path(json.loads((annotations / "_manifest.json").read_text())["roots"][0])
    other = annotations.parent / "other"
    runner.annotate(inputs.find([photos]), model, other, Options(part_size=10), NullReporter())
    shutil.copy(other / "part-00001.parquet", annotations)


def swap_columns(annotations: Path, model: Path) -> None:
    path = annotations / "part-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["embedding"]), path)


def edit_vocabulary(annotations: Path, model: Path) -> None:
    manifest = json.loads((annotations / "_manifest.json").read_text())
    manifest["vocabulary"] = manifest["vocabulary"][::-1]
    (annotations / "_manifest.json").write_text(json.dumps(manifest))


def damage_manifest(annotations: Path, model: Path) -> None:
    (annotations / "_manifest.json").write_text('{"schema_version": 1,')


@pytest.mark.parametrize(
    "damage",
    [
        remove_part,
        truncate_part,
        empty_part,
        remove_rows,
        double_part,
        mix_models,
        swap_columns,
        edit_vocabulary,
        damage_manifest,
    ],
)
def test_damaged_annotations_are_refused_and_the_old_index_stays(
    damage: Callable[[Path, Path], None], copied: Path, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    build(copied, out, NullReporter())
    before = states(out)
    damage(copied, make_bundle(tmp_path / "model", seed=2))
    with pytest.raises(IntegrityError) as caught:
        build(copied, out, NullReporter())
    assert "\n" not in str(caught.value)
    assert states(out) == before
    # and it can be built again once the annotations are whole
    with search.open(out) as index:
        assert len(index.query("grass", top=30)) == 24


def test_annotations_of_a_newer_version_are_refused_and_not_called_damaged(copied: Path, tmp_path: Path) -> None:
    manifest = json.loads((copied / "_manifest.json").read_text())
    (copied / "_manifest.json").write_text(json.dumps(manifest | {"schema_version": VERSION + 1}))
    with pytest.raises(VersionError, match="a newer aaam-pipe reads them"):
        build(copied, tmp_path / "index", NullReporter())


def test_annotations_without_one_good_image_are_a_usage_error(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("no image")
    items, options = inputs.find([tmp_path / "photos"]), Options(max_failure_rate=1)
    runner.annotate(items, tiny_bundle, tmp_path / "annotations", options, NullReporter())
    with pytest.raises(UsageError, match="no annotated image: 1 of 1 failed"):
        build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    assert not (tmp_path / "index").exists()


def test_interrupted_annotations_are_not_taken_for_whole(copied: Path, tmp_path: Path) -> None:
    rewrite_json(copied / "_manifest.json", parts=0, successes=0, failures={})
    with pytest.raises(UsageError):
        build(copied, tmp_path / "index", NullReporter())


@pytest.mark.parametrize("given", ["photos", "missing", "file"])
def test_what_is_no_annotations_folder_is_a_usage_error(given: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(UsageError, match="is not an annotations folder"):
        build(photos if given == "photos" else tmp_path / given, tmp_path / "index", NullReporter())
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("kind", ["file", "other files", "annotations", "hidden files"])
def test_an_output_that_is_something_else_is_refused_and_untouched(
    kind: str, annotated: Path, copied: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "annotations":
        out = copied
    else:
        out.mkdir()
        (out / ("novel.txt" if kind == "other files" else ".gitignore")).write_text("mine")
    before = states(out)
    with pytest.raises(UsageError, match="is not an index; choose another --out"):
        build(annotated, out, NullReporter())
    assert states(out) == before


@pytest.mark.parametrize("damage", ["manifest.json", manifests.SCORES, manifests.VECTORS])
def test_a_damaged_index_can_be_built_again_in_its_place(damage: str, annotated: Path, tmp_path: Path) -> None:
    build(annotated, tmp_path / "index", NullReporter())
    (tmp_path / "index" / damage).unlink()
    build(annotated, tmp_path / "index", NullReporter())
    assert manifests.read(tmp_path / "index").images == 24


@pytest.mark.parametrize("out", ["/proc/index", "file/index"])
def test_a_folder_that_cannot_be_written_is_a_usage_error(out: str, annotated: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot write to"):
        build(annotated, tmp_path / out, NullReporter())


class Interrupting(NullReporter):
    """Presses Ctrl-C once the first rows are in."""

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        def stop(count: int) -> NoReturn:
            raise KeyboardInterrupt

        yield stop


def test_an_interrupted_build_leaves_the_old_index_and_the_next_one_starts_anew(
    annotated: Path, partly_failed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    build(annotated, out, NullReporter())
    before = states(out)
    with pytest.raises(KeyboardInterrupt):
        build(partly_failed, out, Interrupting())
    assert states(out) == before
    assert not (tmp_path / "index.partial" / "manifest.json").exists()
    assert build(partly_failed, out, NullReporter()).images == 6
    assert not (tmp_path / "index.partial").exists()
