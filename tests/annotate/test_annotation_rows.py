import hashlib
import io
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import LABELS, make_bundle, make_photo
from PIL import Image

from aaam_pipeline.annotate import inputs, runner, staging
from aaam_pipeline.annotate.options import Assignment, Options
from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.errors import FailureRateError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.parts import annotations_schema, part_path, read_stats

FAILED = {
    "cut.jpg": "truncated",
    "gone.jpg": "unreadable",
    "pipe.jpg": "unreadable",
    "text.jpg": "not_an_image",
    "zero.png": "empty_file",
}
CPU = Options(backend="torch", device="cpu", num_workers=0, max_failure_rate=1)


def annotate(folder: Path, model: Path, out: Path, **options: Any) -> pa.Table:
    runner.annotate(inputs.find([folder]), model, out, CPU._replace(**options), NullReporter())
    return read(out)


def read(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted(out.glob("part-*.parquet"))])


def spoil(folder: Path) -> Path:
    """Put one of every kind of bad image between the good ones."""
    (folder / "cut.jpg").write_bytes(make_photo(folder / "whole.jpg", 100).read_bytes()[:400])
    (folder / "text.jpg").write_text("this is no image")
    (folder / "zero.png").touch()
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    deep = np.random.default_rng(5).integers(0, 65536, (40, 30), dtype=np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    make_photo(folder / "folder.jpg" / "inside.jpg", 101)
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six good photographs, a 16-bit one, and five that cannot be read, mixed up by their names."""
    folder = tmp_path_factory.mktemp("mixed") / "mixed"
    for number in range(5):
        make_photo(folder / f"{'bfpuz'[number]}{number}.jpg", number, size=(60 + number, 50))
    return spoil(folder)


@pytest.fixture(scope="module")
def mixed_rows(mixed: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return annotate(mixed, tiny_bundle, tmp_path_factory.mktemp("out") / "annotations", batch_size=4)


def test_every_input_has_one_row_in_order(mixed: Path, mixed_rows: pa.Table) -> None:
    assert mixed_rows["path"].to_pylist() == [source.path for source in inputs.find([mixed])]
    assert mixed_rows.num_rows == 13
    assert "folder.jpg/inside.jpg" in mixed_rows["path"].to_pylist()
    assert set(mixed_rows["root"].to_pylist()) == {str(mixed)}


def test_bad_images_fail_by_kind_and_the_others_do_not(mixed_rows: pa.Table) -> None:
    rows = mixed_rows.to_pylist()
    assert {row["path"]: row["error_type"] for row in rows if row["status"] == "failed"} == FAILED
    assert {row["status"] for row in rows} == {"ok", "failed"}


def test_failed_rows_hold_nulls_and_a_reason_of_one_line(mixed_rows: pa.Table) -> None:
    for row in mixed_rows.to_pylist():
        assert row["status"] == "ok" or (row["captured_at"], row["captured_at_offset"]) == (None, None)
        answers = [row[name] for name in ("width", "height", "labels", "label_scores", "scores", "embedding")]
        if row["status"] == "failed":
            assert answers == [None] * 6
            assert row["error_message"]
            assert "\n" not in row["error_message"]
        else:
            assert None not in answers
            assert (row["error_type"], row["error_message"]) == (None, None)


def test_a_16_bit_picture_is_annotated(mixed_rows: pa.Table) -> None:
    (row,) = [row for row in mixed_rows.to_pylist() if row["path"] == "deep.png"]
    assert (row["status"], row["width"], row["height"]) == ("ok", 30, 40)


def test_facts_of_the_files_are_true(mixed: Path, mixed_rows: pa.Table) -> None:
    for row in mixed_rows.to_pylist():
        file = mixed / row["path"]
        if row["error_type"] == "unreadable":
            assert (row["sha256"], row["bytes"], row["mtime"]) == (None, None, None)
            continue
        assert row["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert row["bytes"] == file.stat().st_size
        assert row["mtime"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            microseconds=file.stat().st_mtime_ns // 1000
        )


def test_an_unreadable_time_of_a_file_is_null_and_stops_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photos" / "a.jpg", 1)
    os.utime(photo, (0, 2**40))
    if photo.stat().st_mtime < 2**40:
        pytest.skip("this file system knows no such times")
    (row,) = annotate(photo.parent, tiny_bundle, tmp_path / "out").to_pylist()
    assert (row["status"], row["mtime"]) == ("ok", None)


def test_a_bad_image_leaves_the_scores_of_its_batch_as_they_were(
    mixed: Path, mixed_rows: pa.Table, tiny_bundle: Path, tmp_path: Path
) -> None:
    good = [source for source in inputs.find([mixed]) if source.path not in FAILED]
    runner.annotate(good, tiny_bundle, tmp_path / "out", CPU._replace(batch_size=4), NullReporter())
    alone = read(tmp_path / "out")
    beside = mixed_rows.filter(pa.compute.equal(mixed_rows["status"], "ok"))
    assert alone["path"].to_pylist() == beside["path"].to_pylist()
    assert alone["labels"].to_pylist() == beside["labels"].to_pylist()
    np.testing.assert_allclose(to_matrix(alone["scores"]), to_matrix(beside["scores"]), atol=0.005)


def test_the_parts_have_exactly_the_documented_schema(annotated: Path, tiny_bundle: Path) -> None:
    for part in annotated.glob("part-*.parquet"):
        found = pq.read_schema(part)
        expected = annotations_schema(len(LABELS), found.field("embedding").type.list_size)
        assert found.equals(expected)
        assert [field.nullable for field in found] == [field.nullable for field in expected]
        assert found.metadata == {b"aaam_schema_version": b"3"}


def test_duckdb_reads_the_parts_as_they_are(annotated: Path) -> None:
    with duckdb.connect() as database:
        found = database.execute(
            "SELECT count(*), count(DISTINCT path), min(len(labels)), bool_and(len(scores) = 5) "
            f"FROM '{annotated}/*.parquet' WHERE status = 'ok'"
        ).fetchone()
    assert found is not None
    assert found[:2] == (24, 24)
    assert found[3] is True


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (7, 4), (64, 2)])
def test_rows_do_not_depend_on_batches_and_workers(
    batch_size: int, workers: int, photos: Path, annotated: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    expected = read(annotated)
    found = annotate(photos, tiny_bundle, tmp_path / "out", batch_size=batch_size, num_workers=workers, part_size=10)
    for name in ("path", "sha256", "captured_at", "width", "height", "status", "labels", "model_id"):
        assert found[name].to_pylist() == expected[name].to_pylist()
    np.testing.assert_allclose(to_matrix(found["scores"]), to_matrix(expected["scores"]), atol=0.005)


@pytest.mark.parametrize(("orientation", "shown"), [(1, (60, 30)), (6, (30, 60)), (8, (30, 60)), (3, (60, 30))])
def test_width_and_height_are_those_shown(
    orientation: int, shown: tuple[int, int], tiny_bundle: Path, tmp_path: Path
) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (60, 30), "teal").save(tmp_path / "photos" / "a.jpg", exif=tags)
    (row,) = annotate(tmp_path / "photos", tiny_bundle, tmp_path / "out").to_pylist()
    assert (row["width"], row["height"]) == shown


def chosen(photos: Path, model: Path, out: Path, top: int | None, threshold: float | None) -> list[dict[str, Any]]:
    return annotate(photos, model, out, assignment=Assignment(top, threshold)).to_pylist()


@pytest.mark.parametrize(
    ("top", "threshold"), [(None, None), (2, None), (5, None), (9, None), (None, 0.3), (None, 0.0), (1, 0.7), (2, 0.3)]
)
def test_labels_are_those_from_the_threshold_on_and_top_at_most_best_first(
    top: int | None, threshold: float | None, photos: Path, tmp_path: Path
) -> None:
    model = make_bundle(tmp_path / "model", threshold=0.6)
    rows = chosen(photos, model, tmp_path / "out", top, threshold)
    limit = threshold if threshold is not None else 0.6 if top is None else 0.0
    for row in rows:
        scores = dict(zip(LABELS, row["scores"], strict=True))
        assert row["label_scores"] == sorted(row["label_scores"], reverse=True)
        assert row["label_scores"] == [scores[label] for label in row["labels"]]
        over = [
            label for label in sorted(LABELS, key=lambda label: -scores[label]) if scores[label] >= np.float32(limit)
        ][:top]
        assert row["labels"] == over
    assert any(row["labels"] for row in rows)


def test_nothing_found_is_an_empty_list_and_not_null(photos: Path, tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "model", threshold=1.0)
    rows = chosen(photos, model, tmp_path / "out", None, None)
    unsure = [row for row in rows if max(row["scores"]) < 0.999]
    assert unsure
    for row in unsure:
        assert (row["status"], row["labels"], row["label_scores"]) == ("ok", [], [])


def test_parts_and_their_stats_tell_the_same(mixed: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner.annotate(inputs.find([mixed]), tiny_bundle, out, CPU._replace(part_size=4, batch_size=3), NullReporter())
    stats = [read_stats(part_path(out, number)) for number in staging.finished_parts(out)]
    assert [part.count for part in stats] == [4, 4, 4, 1]
    for number, part in enumerate(stats):
        path = out / f"part-{number:05d}.parquet"
        rows = pq.read_table(path).to_pylist()
        kinds = [row["error_type"] for row in rows if row["status"] == "failed"]
        assert part.sha256 == file_sha256(path)
        assert (part.count, part.successes) == (len(rows), len(rows) - len(kinds))
        assert part.failures == {kind: kinds.count(kind) for kind in kinds}
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["_manifest.json", *(name for n in range(4) for name in (f"part-{n:05d}.parquet", f"_part-{n:05d}.json"))]
    )


def test_the_manifest_counts_what_the_rows_hold(mixed: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = runner.annotate(inputs.find([mixed]), tiny_bundle, tmp_path / "out", CPU, NullReporter())
    assert (manifest.inputs, manifest.successes, manifest.parts) == (13, 8, 1)
    assert manifest.failures == {"empty_file": 1, "not_an_image": 1, "truncated": 1, "unreadable": 2}
    assert manifest.roots == [str(mixed)]
    assert manifest.vocabulary == LABELS


@pytest.mark.parametrize(("rate", "fails"), [(0.38, True), (0.39, False), (0.0, True), (1.0, False)])
def test_too_many_failures_are_an_error_after_everything_was_written(
    rate: float, fails: bool, mixed: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    options = CPU._replace(max_failure_rate=rate)
    # the second time there is nothing to do, and the answer is the same
    for _ in range(2):
        if fails:
            with pytest.raises(FailureRateError, match=r"5 of 13 images failed \(1 empty_file, 1 not_an_image"):
                runner.annotate(inputs.find([mixed]), tiny_bundle, tmp_path / "out", options, NullReporter())
        else:
            runner.annotate(inputs.find([mixed]), tiny_bundle, tmp_path / "out", options, NullReporter())
        assert read(tmp_path / "out").num_rows == 13


def test_a_folder_of_bad_images_alone_is_written_too(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.jpg").write_text("no")
    rows = annotate(tmp_path / "photos", tiny_bundle, tmp_path / "out", batch_size=2).to_pylist()
    assert [row["labels"] for row in rows] == [None] * 3


def test_random_damage_never_stops_a_run(tiny_bundle: Path, tmp_path: Path) -> None:
    chance, folder = random.Random(3), tmp_path / "photos"
    folder.mkdir()
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        plain = io.BytesIO()
        Image.open(make_photo(tmp_path / "plain.png", 7)).save(plain, kind)
        for number in range(12):
            content = bytearray(plain.getvalue())
            for _ in range(20):
                content[chance.randrange(len(content))] = chance.randrange(256)
            (folder / f"{kind}{number}.jpg").write_bytes(content[: chance.randrange(1, len(content))])
    rows = annotate(folder, tiny_bundle, tmp_path / "out").to_pylist()
    assert len(rows) == 72
    kinds = {row["error_type"] for row in rows} - {None}
    assert kinds
    assert kinds <= {"truncated", "damaged", "not_an_image", "unsupported", "too_large"}


def test_a_name_that_is_not_utf8_gets_its_row(tiny_bundle: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "a.jpg", 1).rename(tmp_path / "photos" / os.fsdecode(b"\xff\xfe.jpg"))
    (row,) = annotate(tmp_path / "photos", tiny_bundle, tmp_path / "out").to_pylist()
    assert (row["path"], row["status"]) == ("\\xff\\xfe.jpg", "ok")


def test_rows_hold_a_perceptual_hash_and_where_links_lead(tiny_bundle: Path, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photos" / "a.jpg", 1, size=(200, 150))
    Image.open(photo).resize((100, 75)).save(tmp_path / "photos" / "b.jpg")
    Image.new("RGB", (50, 50), "black").save(tmp_path / "photos" / "black.png")
    (tmp_path / "photos" / "link.jpg").symlink_to("a.jpg")
    (tmp_path / "photos" / "text.jpg").write_text("no image")
    rows = annotate(tmp_path / "photos", tiny_bundle, tmp_path / "out").to_pylist()
    assert [row["link_target"] for row in rows] == [None, None, None, str(photo), None]
    a, b, black, link, text = (row["phash"] for row in rows)
    assert len(bytes.fromhex(a)) == 32
    assert a == link
    assert (int(a, 16) ^ int(b, 16)).bit_count() <= 60
    assert black is text is None
