from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import flipped, truncated

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.columns import fixed_size_list, to_float16, to_matrix
from aaam_pipeline.formats.scaling import Scaling
from aaam_pipeline.formats.scores import ScoredSplit, read_scores, write_scores


def split(images: int = 4) -> ScoredSplit:
    rng = np.random.default_rng(3)
    scores = rng.random((images, 3), dtype=np.float32)
    targets = (rng.random((images, 3)) < 0.5).astype(np.uint8)
    return ScoredSplit([f"bild {i}" for i in range(images)], scores, targets, ["sky", "é", "traffic light"], 2)


def test_scores_survive_a_round_trip(tmp_path: Path) -> None:
    write_scores(tmp_path / "a" / "scores.parquet", split())
    read = read_scores(tmp_path / "a" / "scores.parquet")
    assert (read.image_ids, read.labels, read.k) == (split().image_ids, split().labels, 2)
    np.testing.assert_array_equal(read.scores_NL, split().scores_NL)
    np.testing.assert_array_equal(read.targets_NL, split().targets_NL)
    assert (read.scores_NL.dtype, read.targets_NL.dtype) == (np.float32, np.int8)


def test_unknown_labels_survive_a_round_trip_and_other_numbers_are_no_targets(tmp_path: Path) -> None:
    targets = np.array([[1, 0, -1], [-1, -1, -1], [0, 0, 0], [1, 1, 1]], np.int8)
    write_scores(tmp_path / "scores.parquet", split()._replace(targets_NL=targets))
    np.testing.assert_array_equal(read_scores(tmp_path / "scores.parquet").targets_NL, targets)
    for wrong in (2, -2):
        write_scores(tmp_path / "scores.parquet", split()._replace(targets_NL=np.where(targets > 0, wrong, targets)))
        with pytest.raises(IntegrityError, match=r"none of 1 \(yes\), 0 \(no\) and -1"):
            read_scores(tmp_path / "scores.parquet")


def test_a_file_whose_targets_are_unsigned_is_read(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", split())
    table = pq.read_table(tmp_path / "scores.parquet")
    older = table.set_column(2, "targets", table["targets"].cast(pa.list_(pa.uint8(), 3)))
    pq.write_table(older, tmp_path / "scores.parquet")
    read = read_scores(tmp_path / "scores.parquet")
    np.testing.assert_array_equal(read.targets_NL, split().targets_NL)
    assert read.targets_NL.dtype == np.int8


def test_a_calibration_survives_a_round_trip(tmp_path: Path) -> None:
    assert split().calibration is None
    for calibration in (None, Calibration([0.5, 1, 2], [0.1, -3, 0])):
        write_scores(tmp_path / "scores.parquet", split()._replace(calibration=calibration))
        assert read_scores(tmp_path / "scores.parquet").calibration == calibration


def test_a_scaling_survives_a_round_trip_and_its_checksum(tmp_path: Path) -> None:
    assert split().scaling is None
    for scaling in (None, Scaling("val", [0.5, 1, 0]), Scaling("train", [1, 1, 1])):
        write_scores(tmp_path / "scores.parquet", split()._replace(scaling=scaling))
        assert read_scores(tmp_path / "scores.parquet").scaling == scaling
    table = pq.read_table(tmp_path / "scores.parquet")
    changed = table.schema.metadata | {b"scaling": b'{"split":"train","maxima":[1.0,1.0,0.5]}'}
    pq.write_table(table.replace_schema_metadata(changed), tmp_path / "scores.parquet")
    with pytest.raises(IntegrityError, match="was changed"):
        read_scores(tmp_path / "scores.parquet")
    write_scores(tmp_path / "scores.parquet", split()._replace(scaling=Scaling("val", [0.5])))
    with pytest.raises(IntegrityError, match="its scaling is not of 3 labels"):
        read_scores(tmp_path / "scores.parquet")


def test_embeddings_are_kept_in_half_precision_and_a_file_may_lack_them(tmp_path: Path) -> None:
    embedding = np.array([[0.5, 1e9], [-1e9, 2], [0, 1 / 3], [1, 2]], np.float32)
    full = split()._replace(embedding_ND=to_float16(embedding))
    write_scores(tmp_path / "scores.parquet", full)
    read = read_scores(tmp_path / "scores.parquet")
    assert read.embedding_ND is not None
    assert read.embedding_ND.dtype == np.float16
    np.testing.assert_array_equal(read.embedding_ND, embedding.clip(-65504, 65504).astype(np.float16))
    assert pq.read_schema(tmp_path / "scores.parquet").field("embedding").type == pa.list_(pa.float16(), 2)
    write_scores(tmp_path / "scores.parquet", split())
    assert read_scores(tmp_path / "scores.parquet").embedding_ND is None


def test_an_older_file_with_a_setting_for_neighbour_evidence_stays_readable(tmp_path: Path) -> None:
    # as training wrote it once: the content of split(), embeddings, and "neighbours" in the metadata
    older = Path(__file__).with_name("scores_with_neighbours.parquet")
    read = read_scores(older)
    assert (read.image_ids, read.labels, read.k) == (split().image_ids, split().labels, 2)
    np.testing.assert_array_equal(read.scores_NL, split().scores_NL)
    assert read.embedding_ND is not None
    table = pq.read_table(older)
    changed = table.schema.metadata | {b"neighbours": b'{"count":20,"weight":0.2,"gain":-0.00106718}'}
    assert changed != table.schema.metadata
    pq.write_table(table.replace_schema_metadata(changed), tmp_path / "scores.parquet")
    with pytest.raises(IntegrityError, match="was changed"):
        read_scores(tmp_path / "scores.parquet")


def test_the_file_is_as_the_design_says(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", split())
    written = pq.read_schema(tmp_path / "scores.parquet")
    assert written.types == [pa.string(), pa.list_(pa.float32(), 3), pa.list_(pa.int8(), 3)]
    assert written.names == ["image_id", "scores", "targets"]
    assert written.metadata[b"k"] == b"2"


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write_scores(tmp_path / "one", split())
    write_scores(tmp_path / "other", split())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_float64_scores_and_strided_arrays_are_stored_row_by_row(tmp_path: Path) -> None:
    wide = np.arange(24, dtype=np.float64).reshape(3, 8).T[::2] / 24
    odd = split()._replace(scores_NL=wide, targets_NL=np.asfortranarray(wide > 0.5))  # type: ignore[arg-type]
    write_scores(tmp_path / "scores.parquet", odd)
    np.testing.assert_array_equal(read_scores(tmp_path / "scores.parquet").scores_NL, wide.astype(np.float32))


@pytest.mark.parametrize("content", [b"", b"hello", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "scores.parquet").write_bytes(content)
    with pytest.raises(IntegrityError, match="is not a scores file"):
        read_scores(tmp_path / "scores.parquet")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"nowhere\.parquet"):
        read_scores(tmp_path / "nowhere.parquet")


def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    write_scores(tmp_path / "whole", split())
    content = (tmp_path / "whole").read_bytes()
    for length in range(1, len(content), 97):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(IntegrityError):
            read_scores(tmp_path / "cut")


FLOATS = pa.array([[0.5, 0.5]], pa.list_(pa.float32(), 2))
BITS = pa.array([[1, 0]], pa.list_(pa.uint8(), 2))
LINE_FOR_ONE = '{"slopes": [1], "biases": [0]}'
SOUND = {"labels": '["a", "b"]', "k": "2"}


@pytest.mark.parametrize(
    ("columns", "metadata"),
    [
        ({"name": pa.array(["a"])}, {}),
        ({"image_id": ["a"], "scores": FLOATS, "targets": BITS}, {}),
        ({"image_id": ["a"], "scores": FLOATS}, SOUND),
        ({"image_id": ["a"], "scores": FLOATS, "targets": BITS}, SOUND | {"labels": '["a"'}),
        ({"image_id": ["a"], "scores": FLOATS, "targets": BITS}, SOUND | {"labels": '["a"]'}),
        ({"image_id": ["a"], "scores": FLOATS, "targets": BITS}, SOUND | {"k": "two"}),
        ({"image_id": ["a"], "scores": FLOATS, "targets": BITS}, SOUND | {"calibration": "{}"}),
        ({"image_id": ["a"], "scores": FLOATS, "targets": BITS}, SOUND | {"neighbours": "[]"}),
        ({"image_id": ["a"], "scores": FLOATS, "targets": BITS}, SOUND | {"calibration": LINE_FOR_ONE}),
        ({"image_id": ["a"], "scores": pa.array([[0.5, 1.5]], FLOATS.type), "targets": BITS}, SOUND),
        ({"image_id": ["a"], "scores": pa.array([[0.5, float("nan")]], FLOATS.type), "targets": BITS}, SOUND),
        ({"image_id": ["a"], "scores": pa.array([[0.5, 0.5]]), "targets": BITS}, SOUND),
        ({"image_id": ["a"], "scores": pa.array([0.5]), "targets": BITS}, SOUND),
        ({"image_id": ["a"], "scores": FLOATS, "targets": pa.array([[1]], pa.list_(pa.uint8(), 1))}, SOUND),
        ({"image_id": ["a"], "scores": pa.array([None], pa.list_(pa.float32(), 2)), "targets": BITS}, SOUND),
    ],
)
def test_a_parquet_file_of_another_kind_is_refused(
    columns: dict[str, pa.Array], metadata: dict[str, str], tmp_path: Path
) -> None:
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "scores.parquet")
    with pytest.raises(IntegrityError):
        read_scores(tmp_path / "scores.parquet")


def test_a_table_of_no_rows_keeps_its_width() -> None:
    empty = fixed_size_list(np.zeros((0, 3), dtype=np.float32))
    assert to_matrix(empty).shape == (0, 3)


def test_bits_flipped_at_200_places_never_give_other_scores(tmp_path: Path) -> None:
    path, right = tmp_path / "scores.parquet", split()
    write_scores(path, right)
    found = 0
    for place in flipped(path):
        try:
            read = read_scores(path)
        except IntegrityError:
            found += 1
            continue
        assert (read.image_ids, read.labels, read.k) == (right.image_ids, right.labels, right.k), f"byte {place}"
        np.testing.assert_array_equal(read.scores_NL, right.scores_NL)
        np.testing.assert_array_equal(read.targets_NL, right.targets_NL)
    # some bytes of a Parquet file say nothing that is read: statistics, the name of the program
    assert found > 50


def test_files_cut_off_at_200_places_are_refused(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", split())
    for _ in truncated(tmp_path / "scores.parquet"):
        with pytest.raises(IntegrityError):
            read_scores(tmp_path / "scores.parquet")


@pytest.mark.parametrize("changes", [{b"k": b"3"}, {b"labels": b'["sky", "sea", "traffic light"]'}, {b"sha256": b""}])
def test_changed_metadata_is_refused(changes: dict[bytes, bytes], tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", split())
    table = pq.read_table(tmp_path / "scores.parquet")
    pq.write_table(table.replace_schema_metadata(table.schema.metadata | changes), tmp_path / "scores.parquet")
    with pytest.raises(IntegrityError, match="was changed"):
        read_scores(tmp_path / "scores.parquet")
