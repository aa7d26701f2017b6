import csv
import json
from pathlib import Path

import numpy as np
import pytest

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.evaluation.evaluate import evaluate
from aaam_pipeline.formats.calibration import Calibration, calibrate
from aaam_pipeline.formats.columns import to_float16
from aaam_pipeline.formats.scaling import Scaling
from aaam_pipeline.formats.scores import ScoredSplit, write_scores

LABELS = ["sky", "sea", "traffic light", "never"]


def split(seed: int, images: int = 60) -> ScoredSplit:
    """Make scores of a method; all methods have the same images and truth."""
    targets = (np.random.default_rng(0).random((images, 4)) < [0.6, 0.5, 0.1, 0]).astype(np.uint8)
    scores = np.random.default_rng(seed).random((images, 4), dtype=np.float32)
    return ScoredSplit([f"{n}.jpg" for n in range(images)], scores, targets, LABELS, 2)


def report(
    folder: Path, validation: dict[str, ScoredSplit] | None = None, **methods: ScoredSplit
) -> dict[str, dict[str, float]]:
    files = [
        {name: folder / part / f"{name}.parquet" for name in each}
        for part, each in (("test", methods), ("val", validation or {}))
    ]
    for splits, paths in zip((methods, validation or {}), files, strict=True):
        for name, each in splits.items():
            write_scores(paths[name], each)
    return evaluate(files[0], folder, files[1])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_with_unknown_labels_a_table_says_of_how_many_images_a_label_is_known(tmp_path: Path) -> None:
    partial = split(1)._replace(targets_NL=split(1).targets_NL.astype(np.int8))
    partial.targets_NL[::3, 1] = -1
    found = report(tmp_path, bce=partial)
    table = {row["label"]: row for row in rows(tmp_path / "per_label" / "bce.csv")}
    assert (table["sky"]["known"], table["sea"]["known"]) == ("60.0", "40.0")
    assert found["bce"]["map"] == pytest.approx(metrics.evaluate(partial.scores_NL, partial.targets_NL, 2)["map"])
    report(tmp_path / "whole", bce=split(1))
    assert "known" not in rows(tmp_path / "whole" / "per_label" / "bce.csv")[0]


def test_the_metrics_are_those_of_the_metrics_room(tmp_path: Path) -> None:
    found = report(tmp_path, bce=split(1), joint=split(2))
    assert json.loads((tmp_path / "metrics.json").read_text()) == found
    assert list(found) == ["bce", "joint"]
    for name, seed in (("bce", 1), ("joint", 2)):
        for key, value in metrics.evaluate(split(seed).scores_NL, split(seed).targets_NL, 2).items():
            assert found[name][key] == pytest.approx(value, abs=1e-6)


def test_scaled_scores_are_measured_where_a_file_says_by_what(tmp_path: Path) -> None:
    maxima = [0.5, 1.0, 0.1, 0.0]
    found = report(tmp_path, bce=split(1), hard=split(1)._replace(scaling=Scaling("val", maxima)))
    assert not [key for key in found["bce"] if key.endswith("_scaled")]
    by_hand = split(1).scores_NL / np.array([0.5, 1, 0.1, 1])
    expected = metrics.evaluate(by_hand, split(1).targets_NL, 2)
    assert expected["precision_at_k"] != pytest.approx(found["hard"]["precision_at_k"])
    for key, value in expected.items():
        assert found["hard"][f"{key}_scaled"] == pytest.approx(value, abs=1e-6)
    assert found["hard"]["map_scaled"] == found["hard"]["map"]


def test_there_is_a_row_for_every_method_and_label(tmp_path: Path) -> None:
    report(tmp_path, bce=split(1), joint=split(2))
    for method, seed in (("bce", 1), ("joint", 2)):
        table = rows(tmp_path / "per_label" / f"{method}.csv")
        assert [row["label"] for row in table] == LABELS
        for name, column in metrics.per_label(split(seed).scores_NL, split(seed).targets_NL, 2).items():
            assert [float(row[name]) for row in table] == pytest.approx(column.tolist(), abs=1e-6)


def test_there_is_a_row_for_every_pair_that_occurs(tmp_path: Path) -> None:
    found = report(tmp_path, bce=split(1))["bce"]
    table = rows(tmp_path / "queries" / "bce.csv")
    ids, relevant, precision = metrics.pair_queries(split(1).scores_NL, split(1).targets_NL, 10)
    assert [row["query"] for row in table] == [f"{LABELS[one]} {LABELS[other]}" for one, other in ids.tolist()]
    assert [int(row["relevant"]) for row in table] == relevant.tolist()
    assert [float(row["precision_at_10"]) for row in table] == precision.tolist()
    enough = relevant >= 10
    assert 0 < enough.sum() < len(enough), "the example must tell the two apart"
    assert found["pair_queries"] == enough.sum()
    assert found["pair_precision_at_10"] == pytest.approx(precision[enough].mean(), abs=1e-6)


def test_calibration_errors_are_before_and_after(tmp_path: Path) -> None:
    line = Calibration([0.5, 2, 1, 1], [0, 1, -1, -5])
    found = report(tmp_path, bce=split(1)._replace(calibration=line))["bce"]
    scores, targets = split(1).scores_NL, split(1).targets_NL
    for ending, each in (("", calibrate(scores, line)), ("_raw", scores)):
        assert found[f"ece{ending}"] == pytest.approx(metrics.calibration_error(each, targets), abs=1e-6)
        mean = metrics.label_calibration_error(each, targets)
        assert found[f"ece_per_label{ending}"] == pytest.approx(mean, abs=1e-6)
        table = rows(tmp_path / f"reliability{ending}" / "bce.csv")
        expected = metrics.reliability(each, targets)
        full = expected.pairs_B > 0
        assert [int(row["pairs"]) for row in table] == expected.pairs_B[full].tolist()
        for name, column in (("score", expected.score_B), ("frequency", expected.frequency_B)):
            assert [float(row[name]) for row in table] == pytest.approx(column[full].tolist(), abs=1e-6)


def test_a_method_without_a_calibration_is_judged_by_what_it_gives(tmp_path: Path) -> None:
    found = report(tmp_path, bce=split(1))["bce"]
    error = metrics.calibration_error(split(1).scores_NL, split(1).targets_NL)
    assert found["ece"] == pytest.approx(error, abs=1e-6)
    assert not [name for name in found if name.endswith("_raw")]
    assert not (tmp_path / "reliability_raw").exists()


def test_the_papers_metrics_are_of_raw_scores_and_queries_of_calibrated_ones(tmp_path: Path) -> None:
    line = Calibration([0.2, 3, 1, 1], [1, -1, -2, 0])
    found = report(tmp_path, bce=split(1)._replace(calibration=line))["bce"]
    scores, targets = split(1).scores_NL, split(1).targets_NL
    calibrated = calibrate(scores, line)
    assert found["precision_at_k"] == pytest.approx(metrics.evaluate(scores, targets, 2)["precision_at_k"], abs=1e-6)
    assert found["precision_at_k"] != pytest.approx(metrics.evaluate(calibrated, targets, 2)["precision_at_k"])
    found = [float(row["precision_at_10"]) for row in rows(tmp_path / "queries" / "bce.csv")]
    assert found == metrics.pair_queries(calibrated, targets, 10).precision_P.tolist()
    assert found != metrics.pair_queries(scores, targets, 10).precision_P.tolist()


def test_retrieval_is_measured_for_queries_of_one_to_three_labels(tmp_path: Path) -> None:
    line = Calibration([0.2, 3, 1, 1], [1, -1, -2, 0])
    found = report(tmp_path, bce=split(1)._replace(calibration=line))["bce"]
    calibrated = calibrate(split(1).scores_NL, line)
    for size in (1, 2, 3):
        mean, count = metrics.retrieval_map(calibrated, split(1).targets_NL, size)
        assert count > 0
        assert found[f"retrieval_map_{size}"] == pytest.approx(mean, abs=1e-6)
        assert found[f"retrieval_queries_{size}"] == count


def embedded(seed: int, prefix: str = "") -> ScoredSplit:
    """Make calibrated scores with embeddings; `prefix` makes them scores of other images."""
    plain, line = split(seed), Calibration([0.2, 3, 1, 1], [1, -1, -2, 0])
    embedding = to_float16(np.random.default_rng(seed).normal(size=(60, 3)))
    ids = [prefix + each for each in plain.image_ids]
    return plain._replace(image_ids=ids, embedding_ND=embedding, calibration=line)


def test_neighbour_evidence_is_measured_where_validation_scores_are_given(tmp_path: Path) -> None:
    test, val = embedded(1), embedded(2, "val ")
    measured = report(tmp_path, {"bce": val}, bce=test, other=test)
    assert val.embedding_ND is not None
    assert test.embedding_ND is not None
    chosen = metrics.choose_neighbours(calibrate(val.scores_NL, val.calibration), val.targets_NL, val.embedding_ND)
    nearest = metrics.nearest(test.embedding_ND, chosen.neighbours)
    smoothed = metrics.smooth(calibrate(test.scores_NL, test.calibration), *nearest, chosen.weight)
    for size in (1, 2, 3):
        mean, _ = metrics.retrieval_map(smoothed, test.targets_NL, size)
        assert measured["bce"][f"retrieval_map_{size}_neighbours"] == pytest.approx(mean, abs=1e-6)
        assert measured["bce"][f"retrieval_map_{size}"] != pytest.approx(mean, abs=1e-3)
    found = {name: value for name, value in measured["bce"].items() if name.startswith("neighbours")}
    assert list(found) == ["neighbours", "neighbours_weight", "neighbours_validation_gain"]
    assert list(found.values()) == pytest.approx(list(chosen), abs=1e-6)
    assert not [name for name in measured["other"] if "neighbours" in name]
    assert {name: value for name, value in measured["bce"].items() if "neighbours" not in name} == measured["other"]


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"joint": embedded(2, "val ")}, "joint.parquet is named after none of the methods evaluated: bce"),
        ({"bce": split(2)}, "bce has no embeddings in both of its scores files"),
        ({"bce": embedded(2)}, "the same labels as bce's other scores, and none of their images"),
        ({"bce": embedded(2, "val ")._replace(labels=LABELS[::-1])}, "the same labels as bce's other scores"),
    ],
    ids=["no such method", "no embeddings", "the test images", "other labels"],
)
def test_validation_scores_that_do_not_fit_are_refused(
    validation: dict[str, ScoredSplit], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        report(tmp_path, validation, bce=embedded(1))
    assert not (tmp_path / "metrics.json").exists()


def test_equal_scores_give_equal_files(tmp_path: Path) -> None:
    for name in ("one", "other"):
        report(tmp_path / name, bce=split(1))
    for file in ("metrics.json", "per_label/bce.csv", "queries/bce.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_no_pair_at_all_is_no_error(tmp_path: Path) -> None:
    alone = split(1)._replace(targets_NL=np.eye(4, dtype=np.uint8).repeat(15, axis=0))
    assert report(tmp_path, bce=alone)["bce"]["pair_precision_at_10"] == 0
    assert rows(tmp_path / "queries" / "bce.csv") == []


@pytest.mark.parametrize("other", ["images", "order", "labels", "k", "truth", "count"])
def test_methods_scored_on_something_else_are_refused(other: str, tmp_path: Path) -> None:
    one = split(1)
    two = {
        "images": one._replace(image_ids=["other.jpg", *one.image_ids[1:]]),
        "order": one._replace(image_ids=one.image_ids[::-1]),
        "labels": one._replace(labels=LABELS[::-1]),
        "k": one._replace(k=3),
        "truth": one._replace(targets_NL=1 - one.targets_NL),
        "count": split(1, images=59),
    }[other]
    with pytest.raises(IntegrityError, match="joint was scored on other images, labels or k than bce"):
        report(tmp_path, bce=one, joint=two)
    assert not (tmp_path / "metrics.json").exists()


def test_a_damaged_scores_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bce.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(IntegrityError, match=r"bce\.parquet"):
        evaluate({"bce": tmp_path / "bce.parquet"}, tmp_path)
