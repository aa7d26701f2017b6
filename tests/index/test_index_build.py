import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import duckdb
import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import LABELS, make_bundle, make_photo

import aaam_pipeline.search as search
from aaam_pipeline.annotate import runner, sources
from aaam_pipeline.annotate.mapper import Assignment
from aaam_pipeline.annotate.runner import Options
from aaam_pipeline.core import ranking, schema
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import Advance, NullReporter
from aaam_pipeline.index import build as builds
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build

HOSTILE = [
    'x"; DROP TABLE images; --',
    "'); DELETE FROM scores; --",
    "select",
    "s0",
    "id",
    "images",
    "Straße",
    "空 港",
    "%_",
    "$1 ?",
    "🚲",
    "rock'n'roll",
]


def read(annotations: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted(annotations.glob("part-*.parquet"))])


def select(index: Path, statement: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(index / manifests.SCORES), read_only=True) as database:
        return database.execute(statement).fetchall()


def states(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def copied(annotated: Path, tmp_path: Path) -> Path:
    """Annotations that a test may damage."""
    shutil.copytree(annotated, tmp_path / "annotations")
    return tmp_path / "annotations"


@pytest.fixture(scope="module")
def partly_failed(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of which every third row failed, in parts of 2: some parts hold only failed rows."""
    folder = tmp_path_factory.mktemp("partly")
    for number in range(12):
        make_photo(folder / "photos" / f"{number:02d}.jpg", number)
        if number % 3 == 0 or number in (4, 5):
            (folder / "photos" / f"{number:02d}.jpg").write_text("no image")
    options = Options(part_size=2, max_failure_rate=1, assignment=Assignment(top=2))
    runner.annotate(sources.find([folder / "photos"]), tiny_bundle, folder / "annotations", options, NullReporter())
    return folder / "annotations"


def test_images_are_the_annotated_rows_with_ids_in_their_order(annotated: Path, indexed: Path) -> None:
    expected = list(enumerate(read(annotated)["path"].to_pylist()))
    assert select(indexed, "SELECT id, path FROM images ORDER BY id") == expected
    assert select(indexed, "SELECT id FROM scores ORDER BY id") == [(id,) for id, _ in expected]


def test_codes_are_the_scores_as_ranking_encodes_them(annotated: Path, indexed: Path) -> None:
    codes = select(indexed, f"SELECT {', '.join(f's{i}' for i in range(len(LABELS)))} FROM scores ORDER BY id")
    np.testing.assert_array_equal(np.array(codes), ranking.encode(schema.rows(read(annotated)["scores"])))


def test_vectors_are_the_embeddings_at_length_one(annotated: Path, indexed: Path) -> None:
    vectors = faiss.read_index(str(indexed / manifests.VECTORS))
    wide = schema.rows(read(annotated)["embedding"]).astype(np.float32)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors.reconstruct_n(0, vectors.ntotal), expected, atol=1e-3)


def test_failed_rows_are_left_out_and_counted(partly_failed: Path, tmp_path: Path) -> None:
    manifest = build(partly_failed, tmp_path / "index", NullReporter())
    ok = [row["path"] for row in read(partly_failed).to_pylist() if row["status"] == "ok"]
    assert (manifest.images, manifest.failed) == (len(ok), 6) == (6, 6)
    assert select(tmp_path / "index", "SELECT id, path FROM images ORDER BY id") == list(enumerate(ok))
    assert faiss.read_index(str(tmp_path / "index" / manifests.VECTORS)).ntotal == 6


def test_labels_are_counted_over_the_images_that_were_assigned_them(partly_failed: Path, tmp_path: Path) -> None:
    manifest = build(partly_failed, tmp_path / "index", NullReporter())
    assigned = [label for labels in read(partly_failed)["labels"].to_pylist() if labels for label in labels]
    assert len(assigned) == 12
    assert manifest.label_counts == [assigned.count(label) for label in LABELS]


def test_the_manifest_on_disk_is_the_one_returned(annotated: Path, tmp_path: Path) -> None:
    manifest = build(annotated, tmp_path / "index", NullReporter())
    assert manifests.read(tmp_path / "index") == manifest
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
        "manifest.json", manifests.SCORES, manifests.VECTORS,
    ]  # fmt: skip
    assert not (tmp_path / "index.partial").exists()


def test_hostile_labels_are_nothing_but_text_from_the_model_to_the_hit(photos: Path, tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "model", labels=HOSTILE)
    options = Options(assignment=Assignment(top=len(HOSTILE)))
    runner.annotate(sources.find([photos]), model, tmp_path / "annotations", options, NullReporter())
    manifest = build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    assert manifest.vocabulary == HOSTILE
    assert manifest.label_counts == [24] * len(HOSTILE)
    codes = ranking.encode(schema.rows(read(tmp_path / "annotations")["scores"]))
    assert (codes[:, 1:].max(axis=0) > 0).sum() > 5
    with search.open(tmp_path / "index") as index:
        # a label that holds a double quote is stored and counted, but no query can spell it
        for place, label in enumerate(HOSTILE[1:], start=1):
            found = index.query(label.upper() if label == "select" else f'"{label}"', top=30)
            assert len(found) == (codes[:, place] > 0).sum()
            for hit in found[:1]:
                assert hit.label_scores == {label: codes[:, place].max() / 255}
                assert set(hit.labels) == set(HOSTILE)


def test_a_reader_goes_on_with_the_old_index_while_a_new_one_sees_the_new(
    annotated: Path, partly_failed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    build(annotated, out, NullReporter())
    with search.open(out) as old:
        before = old.query("grass", top=30)
        build(partly_failed, out, NullReporter())
        assert old.query("grass", top=30) == before
        # the vectors are first needed now, when their file has been replaced
        likeness = old.similar(old.vectors.get(3), top=30)
        assert len(likeness) == 24
        assert likeness[0].path == read(annotated)["path"][3].as_py()
        with search.open(out) as new:
            assert len(new.query("grass", top=30)) == new.manifest.images == 6
            assert len(new.similar(new.vectors.get(0), top=30)) == 6
        assert old.query("grass", top=30) == before


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
    photos = Path(json.loads((annotations / "manifest.json").read_text())["roots"][0])
    other = annotations.parent / "other"
    runner.annotate(sources.find([photos]), model, other, Options(part_size=10), NullReporter())
    shutil.copy(other / "part-00001.parquet", annotations)


def swap_columns(annotations: Path, model: Path) -> None:
    path = annotations / "part-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["embedding"]), path)


def edit_vocabulary(annotations: Path, model: Path) -> None:
    manifest = json.loads((annotations / "manifest.json").read_text())
    manifest["vocabulary"] = manifest["vocabulary"][::-1]
    (annotations / "manifest.json").write_text(json.dumps(manifest))


def damage_manifest(annotations: Path, model: Path) -> None:
    (annotations / "manifest.json").write_text('{"schema_version": 1,')


def newer_version(annotations: Path, model: Path) -> None:
    manifest = json.loads((annotations / "manifest.json").read_text())
    (annotations / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 2}))


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
        newer_version,
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


def test_annotations_without_one_good_image_are_a_usage_error(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("no image")
    inputs, options = sources.find([tmp_path / "photos"]), Options(max_failure_rate=1)
    runner.annotate(inputs, tiny_bundle, tmp_path / "annotations", options, NullReporter())
    with pytest.raises(UsageError, match="no annotated image: 1 of 1 failed"):
        build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    assert not (tmp_path / "index").exists()


def test_interrupted_annotations_are_not_taken_for_whole(copied: Path, tmp_path: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    begun = manifest | {"parts": 0, "successes": 0, "failures": {}}
    (copied / "manifest.json").write_text(json.dumps(begun))
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


@pytest.mark.parametrize("place", ["/proc/index", "file/index"])
def test_a_place_that_cannot_be_written_is_a_usage_error(place: str, annotated: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot write to"):
        build(annotated, tmp_path / place, NullReporter())


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


def test_rows_in_many_batches_make_the_same_index(
    annotated: Path, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "BATCH_ROWS", 3)
    build(annotated, tmp_path / "index", NullReporter())
    for table in ("SELECT * EXCLUDE mtime FROM images ORDER BY id", "SELECT * FROM scores ORDER BY id"):
        assert select(tmp_path / "index", table) == select(indexed, table)
    one, other = (faiss.read_index(str(place / manifests.VECTORS)) for place in (indexed, tmp_path / "index"))
    np.testing.assert_array_equal(one.reconstruct_n(0, 24), other.reconstruct_n(0, 24))
