"""What an index holds of whole annotations, and how a new one replaces the previous one."""

import os
from pathlib import Path

import duckdb
import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import LABELS, make_bundle, rewrite_json
from search.toy_index import EMBEDDING_ND, SCORES_NL, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.annotate.options import Assignment, Options
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import ranking
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.parts import read_annotations_manifest
from aaam_pipeline.index import annotations, scores
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify

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


def test_images_are_the_annotated_rows_with_ids_in_their_order(annotated: Path, indexed: Path) -> None:
    expected = list(enumerate(read(annotated)["path"].to_pylist()))
    assert select(indexed, "SELECT id, path FROM images ORDER BY id") == expected
    assert select(indexed, "SELECT id FROM scores ORDER BY id") == [(id,) for id, _ in expected]


def test_codes_are_the_scores_as_ranking_encodes_them(annotated: Path, indexed: Path) -> None:
    codes = select(indexed, f"SELECT {', '.join(f's{i}' for i in range(len(LABELS)))} FROM scores ORDER BY id")
    np.testing.assert_array_equal(np.array(codes), ranking.encode(to_matrix(read(annotated)["scores"])))


def test_vectors_are_the_embeddings_at_length_one(annotated: Path, indexed: Path) -> None:
    vectors = faiss.read_index(str(indexed / manifests.VECTORS))
    wide = to_matrix(read(annotated)["embedding"]).astype(np.float32)
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
        "manifest.json", manifests.PARTS, manifests.SCORES, manifests.VECTORS,
    ]  # fmt: skip
    assert not (tmp_path / "index.partial").exists()


def test_hostile_labels_are_nothing_but_text_from_the_model_to_the_hit(photos: Path, tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "model", labels=HOSTILE)
    options = Options(assignment=Assignment(top=len(HOSTILE)))
    runner.annotate(inputs.find([photos]), model, tmp_path / "annotations", options, NullReporter())
    manifest = build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    assert manifest.vocabulary == HOSTILE
    assert manifest.label_counts == [24] * len(HOSTILE)
    codes = ranking.encode(to_matrix(read(tmp_path / "annotations")["scores"]))
    assert (codes[:, 1:].max(axis=0) > 0).sum() > 5
    with search.open(tmp_path / "index") as index:
        # a label that holds a double quote is stored and counted, but no query can spell it
        for id, label in enumerate(HOSTILE[1:], start=1):
            found = index.query(label.upper() if label == "select" else f'"{label}"', top=30)
            assert len(found) == (ranking.decode(codes[:, id]) >= ranking.LEAST).sum()
            for hit in found[:1]:
                assert hit.label_scores == {label: float(ranking.decode(codes[:, id].max()))}
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


def test_rows_in_many_batches_make_the_same_index(
    annotated: Path, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotations, "BATCH_ROWS", 3)
    monkeypatch.setattr(scores, "INSERT_ROWS", 7)
    build(annotated, tmp_path / "index", NullReporter())
    for table in ("SELECT * EXCLUDE mtime FROM images ORDER BY id", "SELECT * FROM scores ORDER BY id"):
        assert select(tmp_path / "index", table) == select(indexed, table)
    one, other = (faiss.read_index(str(folder / manifests.VECTORS)) for folder in (indexed, tmp_path / "index"))
    np.testing.assert_array_equal(one.reconstruct_n(0, 24), other.reconstruct_n(0, 24))


def write_folders(folder: Path, *paths: list[str]) -> list[Path]:
    """Write a folder of annotations for each list of paths, with the first scores and embeddings of the toy index."""
    made = []
    for number, names in enumerate(paths):
        count, start = len(names), 10 * number
        rows = slice(start, start + count)
        made.append(write_annotations(folder / f"annotations{number}", SCORES_NL[rows], EMBEDDING_ND[rows], path=names))
    return made


def test_several_folders_are_one_index_in_their_order(tmp_path: Path) -> None:
    folders = write_folders(tmp_path, ["b.jpg", "a.jpg"], ["c.jpg"], ["d/e.jpg", "0.jpg"])
    manifest = build(folders, tmp_path / "index", NullReporter())
    assert (manifest.images, manifest.annotations) == (5, [str(folder) for folder in folders])
    expected = list(enumerate(["b.jpg", "a.jpg", "c.jpg", "d/e.jpg", "0.jpg"]))
    assert select(tmp_path / "index", "SELECT id, path FROM images ORDER BY id") == expected
    codes = select(tmp_path / "index", "SELECT s0, s1, s2, s3, s4, s5 FROM scores ORDER BY id")
    np.testing.assert_array_equal(np.array(codes), ranking.encode(SCORES_NL[[0, 1, 10, 20, 21]]))
    assert manifest.label_counts == [
        sum(label in labels for (labels,) in select(tmp_path / "index", "SELECT labels FROM images"))  # type: ignore[operator]
        for label in manifest.vocabulary
    ]
    with search.open(tmp_path / "index") as index:
        assert [hit.path for hit in index.similar(EMBEDDING_ND[20], top=1)] == ["d/e.jpg"]


def test_annotations_of_two_models_are_refused(annotated: Path, tmp_path: Path) -> None:
    (other,) = write_folders(tmp_path, ["a.jpg"])
    with pytest.raises(UsageError, match=r"was annotated with toy, but .* scores of different models"):
        build([annotated, other], tmp_path / "index", NullReporter())


def test_annotations_of_two_calibrations_are_refused(tmp_path: Path) -> None:
    folders = write_folders(tmp_path, ["a.jpg"], ["b.jpg"])
    labels = len(read_annotations_manifest(folders[1]).vocabulary)
    calibration = {"slopes": [2.0] * labels, "biases": [0.0] * labels}
    rewrite_json(folders[1] / "_manifest.json", calibration=calibration)
    with pytest.raises(UsageError, match=r"different calibrations of toy"):
        build(folders, tmp_path / "index", NullReporter())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"thresholds": [0.4] + [0.5] * 5}, "thresholds from 0.4 to 0.5, but .* with a threshold of 0.5"),
        ({"settings": {"threshold": 0.3, "top": None}}, "a threshold of 0.3, but"),
        ({"settings": {"threshold": None, "top": 5}}, "the best 5 labels, but"),
        ({"settings": {"threshold": 0.5, "top": 5}}, "a threshold of 0.5 and at most 5 labels, but"),
    ],
)
def test_labels_assigned_by_different_thresholds_are_not_mixed(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    folders = write_folders(tmp_path, ["a.jpg"], ["b.jpg"])
    rewrite_json(folders[1] / "_manifest.json", **changes)
    with pytest.raises(UsageError, match=rf"annotations1 was annotated with {said}.*equal --threshold and --top"):
        build(folders, tmp_path / "index", NullReporter())
    # the same rule in other words is the same
    rewrite_json(folders[1] / "_manifest.json", thresholds=[0.5] * 6, settings={"threshold": 0.5})
    assert build(folders, tmp_path / "index", NullReporter()).images == 2


def test_an_index_that_is_up_to_date_is_left_as_it_is(tmp_path: Path) -> None:
    folders = write_folders(tmp_path, ["b.jpg", "a.jpg"], ["c.jpg"])
    out = tmp_path / "index"
    first = build(folders, out, NullReporter())
    inode = out.stat().st_ino
    # of a build that was killed once it had published
    (tmp_path / "index.partial").mkdir()
    assert build(folders, out, NullReporter()) == first
    assert not (tmp_path / "index.partial").exists()
    assert out.stat().st_ino == inode
    # a part of another time that holds the same is the same part
    os.utime(folders[1] / "part-00000.parquet", ns=(1, 1))
    assert build(folders, out, NullReporter()) == first
    assert out.stat().st_ino == inode
    # fewer folders, a damaged index: each is built anew
    assert build(folders[:1], out, NullReporter()).images == 2
    assert build(folders, out, NullReporter()).images == 3
    content = bytearray((out / manifests.VECTORS).read_bytes())
    content[-1] ^= 1
    (out / manifests.VECTORS).write_bytes(content)
    build(folders, out, NullReporter())
    verify(out, NullReporter())
