"""Every kind of damage to annotations is found and named."""

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import LABELS
from runs import check
from tampering import Damage, cell, edit, manifest, part, rewrite

from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import stats_path


@pytest.fixture
def copy(annotated: Path, tmp_path: Path) -> Path:
    """24 rows without failures, in parts of 10, 10 and 4."""
    return shutil.copytree(annotated, tmp_path / "annotations")


def flip(folder: Path) -> None:
    content = bytearray(part(folder, 1).read_bytes())
    content[len(content) // 2] ^= 1
    part(folder, 1).write_bytes(content)


def truncate_and_rehash(folder: Path) -> None:
    content = part(folder).read_bytes()[:-100]
    part(folder).write_bytes(content)
    edit("_part-00000.json", sha256=hashlib.sha256(content).hexdigest())(folder)


def without_metadata(rows: pa.Table) -> pa.Table:
    return rows.replace_schema_metadata(None)


def newer_vocabulary(folder: Path) -> None:
    labels = [*LABELS[:-1], "cat"]
    manifest(vocabulary=labels, vocabulary_hash=fingerprint(labels))(folder)


def swapped_vocabulary(folder: Path) -> None:
    labels = [LABELS[1], LABELS[0], *LABELS[2:]]
    manifest(vocabulary=labels, vocabulary_hash=fingerprint(labels))(folder)


def nan_first(values: list[float]) -> list[float]:
    return [float("nan"), *values[1:]]


def emptied(rows: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    for name in columns:
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array([[]] * len(rows), field.type))
    return rows


X_SHA256 = hashlib.sha256(b"x").hexdigest()
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a byte flipped": (flip, "part-00001.parquet was changed: its SHA-256 is not that of its stats"),
    "part missing": (lambda folder: part(folder, 2).unlink(), "part-00002.parquet is missing"),
    "stats missing": (lambda folder: stats_path(part(folder)).unlink(), "_part-00000.json is missing"),
    "truncated": (truncate_and_rehash, "part-00000.parquet is missing or damaged: "),
    "a folder for a part": (
        lambda folder: (part(folder).unlink(), part(folder).mkdir()),
        "part-00000.parquet is missing or damaged: ",
    ),
    "stats that are no JSON": (
        lambda folder: stats_path(part(folder)).write_text("{"),
        "_part-00000.json is damaged",
    ),
    "a foreign part": (
        lambda folder: shutil.copy(part(folder), part(folder, 3)),
        "part-00003.parquet does not belong here",
    ),
    "foreign rows": (
        lambda folder: shutil.copy(part(folder), folder / "copy.parquet"),
        "copy.parquet does not belong here",
    ),
    "no Parquet": (
        lambda folder: (part(folder).write_bytes(b"x"), edit("_part-00000.json", sha256=X_SHA256)(folder)),
        "part-00000.parquet is missing or damaged: ",
    ),
    "a row deleted": (rewrite(lambda rows: rows.slice(1)), "rows: 23, the manifest says 24"),
    "a row twice": (rewrite(lambda rows: pa.concat_tables([rows, rows.slice(9)])), "rows: 25, the manifest says 24"),
    "a row in the place of another": (
        rewrite(lambda rows: pa.concat_tables([rows.slice(0, 9), rows.slice(0, 1)])),
        "rows of an input that has one already: 1, the manifest says 0",
    ),
    "a part in the place of another": (
        lambda folder: [shutil.copy(name(part(folder, 0)), name(part(folder, 1))) for name in (Path, stats_path)],
        "rows of an input that has one already: 10, the manifest says 0",
    ),
    "another path": (cell("path", "elsewhere.jpg"), "names, sizes or times were changed"),
    "another size": (cell("bytes", 7), "names, sizes or times were changed"),
    "another root": (cell("root", "/elsewhere"), r"roots: \[.*/elsewhere.*\], the manifest says"),
    "another status": (cell("status", "fine"), "a status is neither ok nor failed"),
    "a failure without a reason": (cell("status", "failed"), "an error is not given exactly where the image failed"),
    "an error of a good image": (cell("error_type", "truncated"), "an error is not given exactly"),
    "no scores": (cell("scores", None), "scores is not null exactly where the image failed"),
    "no labels": (cell("labels", None), "labels is not null exactly where the image failed"),
    "an offset without its date": (cell("captured_at_offset", 60, row=1), "an offset of a date that is not there"),
    "no hash": (cell("sha256", None), "the SHA-256 or the size of an annotated image is not known"),
    "another model": (cell("model_id", "other"), "rows of another model than "),
    "an unknown label": (cell("labels", ["zebra"]), "labels that are not in the vocabulary: zebra"),
    "a label that is null": (cell("labels", [None]), "labels that are not in the vocabulary: None"),
    "a label without a score": (cell("labels", LABELS), "not one score for every label"),
    "a score over 1": (cell("scores", [0.5, 0.5, 0.5, 0.5, 1.5]), "scores that are no probabilities"),
    "a score that is not a number": (cell("scores", nan_first), "scores that are no probabilities"),
    "a score below 0": (cell("scores", [-0.5] * 5), "scores that are no probabilities"),
    "another score": (cell("scores", lambda values: [1 - value for value in values]), "labels"),
    "an infinite embedding": (
        cell("embedding", lambda values: [float("inf"), *values[1:]]),
        "embeddings that are not finite",
    ),
    "labels taken away": (
        rewrite(lambda rows: emptied(rows, ("labels", "label_scores"))),
        "labels that are not those which the thresholds and settings give",
    ),
    "without metadata": (rewrite(without_metadata), "part-00000.parquet has another schema"),
    "a column less": (rewrite(lambda rows: rows.drop_columns(["embedding"])), "part-00000.parquet has another schema"),
    "columns in another order": (
        rewrite(lambda rows: rows.select(rows.column_names[::-1])),
        "part-00000.parquet has another schema",
    ),
    "stats: other counts": (edit("_part-00000.json", successes=9), "its stats count other rows"),
    "stats: other inputs": (edit("_part-00000.json", inputs_hash="0" * 32), "its stats stand for other inputs"),
    "manifest: more inputs": (manifest(inputs=25), "rows: 24, the manifest says 25"),
    "manifest: fewer successes": (manifest(successes=23), "annotated rows: 24, the manifest says 23"),
    "manifest: failures": (manifest(failures={"truncated": 1}), "the manifest says {'truncated': 1}"),
    "manifest: repeated": (manifest(repeated=1), "already: 0, the manifest says 1"),
    "manifest: fewer parts": (manifest(parts=2), "part-00002.parquet does not belong here"),
    "manifest: more parts": (manifest(parts=4), "part-00003.parquet is missing"),
    "manifest: a billion parts": (manifest(parts=10**9), "1000000000 parts, more than there are files"),
    "manifest: other inputs": (manifest(inputs_hash="0" * 32), "the rows are not those of the inputs"),
    "manifest: other roots": (manifest(roots=["/elsewhere"]), "roots: "),
    "manifest: a label less": (manifest(vocabulary=LABELS[:-1]), "_manifest.json: the vocabulary was changed"),
    "manifest: a label renamed": (newer_vocabulary, "labels that are not in the vocabulary: dog"),
    "manifest: labels swapped": (swapped_vocabulary, "scores of labels that are not those of the row"),
    "manifest: no labels": (manifest(vocabulary=[]), "a vocabulary needs at least one label"),
    "manifest: thresholds": (manifest(thresholds=[0.99] * 5), "not those which the thresholds and settings give"),
    "manifest: a threshold less": (manifest(thresholds=[0.5] * 4), "4 thresholds for 5 labels"),
    "manifest: a calibration of other labels": (
        manifest(calibration={"slopes": [1.0] * 4, "biases": [0.0] * 4}),
        "the calibration is not of 5 labels",
    ),
    "manifest: settings": (manifest(settings={"top": 1}), "_manifest.json: the model or the settings were changed"),
    "manifest: model": (manifest(model_id="other"), "_manifest.json: the model or the settings were changed"),
    "manifest: embedding": (manifest(embedding_dim=3), "has another schema than its manifest says"),
    "manifest: no JSON": (lambda folder: (folder / "_manifest.json").write_text("{"), "_manifest.json is damaged"),
    "manifest: no object": (lambda folder: (folder / "_manifest.json").write_text("[]"), "_manifest.json is damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named(name: str, copy: Path) -> None:
    damage, message = DAMAGES[name]
    damage(copy)
    with pytest.raises(IntegrityError, match=message) as caught:
        check(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_many_problems_are_one_line_of_the_first_ten(copy: Path) -> None:
    for number in range(15):
        (copy / f"{number:02d}.parquet").touch()
    with pytest.raises(IntegrityError, match=r"00\.parquet does not belong here; .*; and 5 more$"):
        check(copy)


def test_a_failure_turned_into_a_success_is_found(partly_failed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(partly_failed, tmp_path / "annotations")
    rows = pq.ParquetFile(part(folder)).read()
    good = rows.filter(pc.equal(rows["status"], "ok"))
    part_files.write_part(part(folder), pa.concat_tables([good, good]).slice(0, len(rows)))
    with pytest.raises(IntegrityError, match=r"annotated rows: .*; failures: "):
        check(folder)


def test_a_date_of_a_failed_image_is_found(partly_failed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(partly_failed, tmp_path / "annotations")
    cell("captured_at", datetime(2024, 5, 1), row=0)(folder)
    with pytest.raises(IntegrityError, match=r"part-00000\.parquet: a date of an image that failed"):
        check(folder)
