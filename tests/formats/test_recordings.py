from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import flipped, truncated

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.recordings import Recording, join, read_recording, write_recording


def recording(seed: int = 1, steps: tuple[int, ...] = (0, 5, 12), images: int = 2) -> Recording:
    targets = np.array([[1, 0, 1], [0, 1, 0]], np.uint8)[:images]
    scores = np.random.default_rng(seed).random((len(steps), images, 3), dtype=np.float32)
    names = ["a.jpg", "é.jpg"][:images]
    return Recording(["sky", "sea", "traffic light"], names, targets, np.array(steps), scores)


def same(one: Recording, other: Recording) -> bool:
    names = (one.labels, one.image_ids) == (other.labels, other.image_ids)
    return names and all(np.array_equal(each, that) for each, that in zip(one[2:], other[2:], strict=True))


@pytest.mark.parametrize("original", [recording(), recording(images=1), recording(steps=(7,))])
def test_a_recording_survives_a_round_trip(original: Recording, tmp_path: Path) -> None:
    write_recording(tmp_path / "a" / "bce.parquet", original)
    read = read_recording(tmp_path / "a" / "bce.parquet")
    assert same(read, original)
    assert [each.dtype for each in read[2:]] == [np.int8, np.int64, np.float32]


def test_the_file_is_one_row_a_step_and_image(tmp_path: Path) -> None:
    write_recording(tmp_path / "bce.parquet", recording())
    table = pq.read_table(tmp_path / "bce.parquet").to_pydict()
    assert table["step"] == [0, 0, 5, 5, 12, 12]
    assert table["image_id"] == ["a.jpg", "é.jpg"] * 3
    assert table["scores"][3] == recording().scores_SML[1, 1].tolist()
    assert table["targets"][3] == [0, 1, 0]


def test_equal_content_gives_equal_bytes_whatever_the_arrays_are_like(tmp_path: Path) -> None:
    one = recording()
    strided = one._replace(scores_SML=np.asfortranarray(one.scores_SML, np.float64), steps_S=one.steps_S.astype("i4"))
    for name, each in (("one", one), ("other", strided)):
        write_recording(tmp_path / name, each)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        recording()._replace(labels=["sky"]),
        recording()._replace(steps_S=np.arange(2)),
        recording()._replace(targets_ML=np.zeros((3, 3), np.uint8)),
        recording(steps=()),
    ],
)
def test_what_does_not_fit_together_is_not_written(wrong: Recording, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are not of"):
        write_recording(tmp_path / "bce.parquet", wrong)
    assert not list(tmp_path.iterdir())


def test_phases_are_joined_one_after_the_other() -> None:
    parts = [recording(1), recording(2, (0, 3)), recording(3, (0, 4, 8))]
    joined = join(parts)
    assert joined.steps_S.tolist() == [0, 5, 12, 12, 15, 15, 19, 23]
    np.testing.assert_array_equal(joined.scores_SML, np.concatenate([part.scores_SML for part in parts]))
    assert same(join(parts[:1]), parts[0])


@pytest.mark.parametrize(
    "other",
    [
        recording(images=1),
        recording()._replace(labels=["sky", "sea", "sand"]),
        recording()._replace(targets_ML=np.zeros((2, 3), np.uint8)),
    ],
)
def test_recordings_of_other_images_or_labels_are_not_joined(other: Recording) -> None:
    with pytest.raises(IntegrityError, match="other images or labels"):
        join([recording(), other])


def test_scores_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / "bce.parquet", recording()._replace(scores_SML=2 * recording().scores_SML))
    with pytest.raises(IntegrityError, match="no probabilities"):
        read_recording(tmp_path / "bce.parquet")


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bce.parquet"
    with pytest.raises(IntegrityError, match=r"bce\.parquet is not a recording"):
        read_recording(path)
    for metadata in ({}, {"labels": "["}, {"labels": '["a"]'}):
        pq.write_table(pa.table({"step": [1]}).replace_schema_metadata(metadata), path)
        with pytest.raises(IntegrityError, match="is not a recording"):
            read_recording(path)


@pytest.mark.parametrize("changes", [{b"labels": b'["a", "b", "c"]'}, {b"sha256": b""}])
def test_changed_metadata_is_refused(changes: dict[bytes, bytes], tmp_path: Path) -> None:
    path = tmp_path / "bce.parquet"
    write_recording(path, recording())
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(table.schema.metadata | changes), path)
    with pytest.raises(IntegrityError, match="was changed"):
        read_recording(path)


def test_rows_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bce.parquet"
    write_recording(path, recording())
    table = pq.read_table(path)
    for order in ([0, 1, 2, 3, 5, 4], [1, 0, 2, 3, 4, 5], [0, 1, 2, 4, 3, 5], [0, 1, 2, 3]):
        pq.write_table(table.take(order), path)
        with pytest.raises(IntegrityError, match="was changed"):
            read_recording(path)


def test_a_file_damaged_anywhere_never_gives_another_recording(tmp_path: Path) -> None:
    path = tmp_path / "bce.parquet"
    write_recording(path, recording())
    found = 0
    for place in flipped(path):
        try:
            assert same(read_recording(path), recording()), f"byte {place}"
        except IntegrityError:
            found += 1
    assert found > 50
    for _ in truncated(path):
        with pytest.raises(IntegrityError):
            read_recording(path)
