import csv
import json
from pathlib import Path

import numpy as np
import pytest

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.evaluation.evaluate import evaluate
from aaam_pipeline.formats.calibration import Calibration, calibrate
from aaam_pipeline.formats.columns import to_float16
from aaam_pipeline.formats.scores import Neighbours, ScoredSplit, write_scores

LABELS = ["sky", "sea", "traffic light", "never"]


def split(seed: int, images: int = 60) -> ScoredSplit:
    """Make scores of a method; all methods have the same images and truth."""
    targets = (np.random.default_rng(0).random((images, 4)) < [0.6, 0.5, 0.1, 0]).astype(np.uint8)
    scores = np.random.default_rng(seed).random((images, 4), dtype=np.float32)
    return ScoredSplit([f"{n}.jpg" for n in range(images)], scores, targets, LABELS, 2)


def report(folder: Path, **methods: ScoredSplit) -> dict[str, dict[str, float]]:
    for name, each in methods.items():
        write_scores(folder / f"{name}.parquet", each)
    places = {name: folder / f"{name}.parquet" for name in methods}
    return evaluate(places, folder)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_metrics_are_those_of_the_metrics_room(tmp_path: Path) -> None:
    figures = report(tmp_path, bce=split(1), joint=split(2))
    assert json.loads((tmp_path / "metrics.json").read_text()) == figures
    assert list(figures) == ["bce", "joint"]
    for name, seed in (("bce", 1), ("joint", 2)):
        for key, value in metrics.evaluate(split(seed).scores_NL, split(seed).targets_NL, 2).items():
            assert figures[name][key] == pytest.approx(value, abs=1e-6)


def test_there_is_a_row_for_every_method_and_label(tmp_path: Path) -> None:
    report(tmp_path, bce=split(1), joint=split(2))
    for method, seed in (("bce", 1), ("joint", 2)):
        table = rows(tmp_path / "per_label" / f"{method}.csv")
        assert [row["label"] for row in table] == LABELS
        for name, column in metrics.per_label(split(seed).scores_NL, split(seed).targets_NL, 2).items():
            assert [float(row[name]) for row in table] == pytest.approx(column.tolist(), abs=1e-6)


def test_there_is_a_row_for_every_pair_that_occurs(tmp_path: Path) -> None:
    figures = report(tmp_path, bce=split(1))["bce"]
    table = rows(tmp_path / "queries" / "bce.csv")
    ids, relevant, precision = metrics.pair_queries(split(1).scores_NL, split(1).targets_NL, 10)
    assert [row["query"] for row in table] == [f"{LABELS[one]} {LABELS[other]}" for one, other in ids.tolist()]
    assert [int(row["relevant"]) for row in table] == relevant.tolist()
    assert [float(row["precision_at_10"]) for row in table] == precision.tolist()
    enough = relevant >= 10
    assert 0 < enough.sum() < len(enough), "the example must tell the two apart"
    assert figures["pair_queries"] == enough.sum()
    assert figures["pair_precision_at_10"] == pytest.approx(precision[enough].mean(), abs=1e-6)


def test_calibration_errors_are_before_and_after(tmp_path: Path) -> None:
    line = Calibration([0.5, 2, 1, 1], [0, 1, -1, -5])
    figures = report(tmp_path, bce=split(1)._replace(calibration=line))["bce"]
    scores, targets = split(1).scores_NL, split(1).targets_NL
    for ending, each in (("", calibrate(scores, line)), ("_raw", scores)):
        assert figures[f"ece{ending}"] == pytest.approx(metrics.calibration_error(each, targets), abs=1e-6)
        mean = metrics.label_calibration_error(each, targets)
        assert figures[f"ece_per_label{ending}"] == pytest.approx(mean, abs=1e-6)
        table = rows(tmp_path / f"reliability{ending}" / "bce.csv")
        expected = metrics.reliability(each, targets)
        full = expected.pairs_B > 0
        assert [int(row["pairs"]) for row in table] == expected.pairs_B[full].tolist()
        for name, column in (("score", expected.score_B), ("frequency", expected.frequency_B)):
            assert [float(row[name]) for row in table] == pytest.approx(column[full].tolist(), abs=1e-6)


def test_a_method_without_a_calibration_is_judged_by_what_it_gives(tmp_path: Path) -> None:
    figures = report(tmp_path, bce=split(1))["bce"]
    error = metrics.calibration_error(split(1).scores_NL, split(1).targets_NL)
    assert figures["ece"] == pytest.approx(error, abs=1e-6)
    assert not [name for name in figures if name.endswith("_raw")]
    assert not (tmp_path / "reliability_raw").exists()


def test_the_papers_metrics_are_of_raw_scores_and_queries_of_calibrated_ones(tmp_path: Path) -> None:
    line = Calibration([0.2, 3, 1, 1], [1, -1, -2, 0])
    figures = report(tmp_path, bce=split(1)._replace(calibration=line))["bce"]
    scores, targets = split(1).scores_NL, split(1).targets_NL
    calibrated = calibrate(scores, line)
    assert figures["precision_at_k"] == pytest.approx(metrics.evaluate(scores, targets, 2)["precision_at_k"], abs=1e-6)
    assert figures["precision_at_k"] != pytest.approx(metrics.evaluate(calibrated, targets, 2)["precision_at_k"])
    found = [float(row["precision_at_10"]) for row in rows(tmp_path / "queries" / "bce.csv")]
    assert found == metrics.pair_queries(calibrated, targets, 10).precision_P.tolist()
    assert found != metrics.pair_queries(scores, targets, 10).precision_P.tolist()


def test_retrieval_is_measured_for_queries_of_one_to_three_labels(tmp_path: Path) -> None:
    line = Calibration([0.2, 3, 1, 1], [1, -1, -2, 0])
    figures = report(tmp_path, bce=split(1)._replace(calibration=line))["bce"]
    calibrated = calibrate(split(1).scores_NL, line)
    for size in (1, 2, 3):
        mean, count = metrics.retrieval_map(calibrated, split(1).targets_NL, size)
        assert count > 0
        assert figures[f"retrieval_map_{size}"] == pytest.approx(mean, abs=1e-6)
        assert figures[f"retrieval_queries_{size}"] == count


def test_neighbour_evidence_is_measured_where_a_method_has_embeddings(tmp_path: Path) -> None:
    embedding = to_float16(np.random.default_rng(4).normal(size=(60, 3)))
    setting, line = Neighbours(5, 0.4, -0.01), Calibration([0.2, 3, 1, 1], [1, -1, -2, 0])
    full = split(1)._replace(embedding_ND=embedding, neighbours=setting, calibration=line)
    figures = report(tmp_path, bce=full, other=split(1))
    smoothed = metrics.smooth(calibrate(full.scores_NL, line), *metrics.nearest(embedding, 5), 0.4)
    for size in (1, 2, 3):
        mean, _ = metrics.retrieval_map(smoothed, full.targets_NL, size)
        assert figures["bce"][f"retrieval_map_{size}_neighbours"] == pytest.approx(mean, abs=1e-6)
        assert figures["bce"][f"retrieval_map_{size}"] != pytest.approx(mean, abs=1e-3)
    found = {name: value for name, value in figures["bce"].items() if name.startswith("neighbours")}
    assert found == {"neighbours": 5, "neighbours_weight": 0.4, "neighbours_validation_gain": -0.01}
    assert not [name for name in figures["other"] if "neighbours" in name]


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
