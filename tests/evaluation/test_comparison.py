"""The table of the stage `compare`: printed numbers, ours, time and memory."""

from pathlib import Path

import pytest
from evaluation.projects import make_ablation, scored, write

from aaam_pipeline import metrics
from aaam_pipeline.evaluation.comparison import table
from aaam_pipeline.evaluation.document import NONE, markdown_table
from aaam_pipeline.evaluation.inputs import Sources
from aaam_pipeline.formats.comparison import Comparison, MethodResult
from aaam_pipeline.formats.scaling import Scaling
from aaam_pipeline.formats.scores import write_scores

METRICS = {"precision_at_k": 0.5, "recall_at_k": 0.25, "map_at_10": 0.75, "map": 0.3333, "n_plus": 4}
KNN = MethodResult("knn", "", test=METRICS, seconds_fit=1.25, seconds_predict=240, peak_bytes=2_500_000_000)
BROKEN = MethodResult("svm", "", error="not enough memory")


def made(dataset: str, *methods: MethodResult) -> Comparison:
    return Comparison(dataset, 5, "vgg16", 4096, {"train": 10, "val": 2, "test": 1234}, 2, list(methods))


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(scores=tmp_path / "scores", ablations=tmp_path / "reports")


def test_printed_numbers_and_costs_stand_beside_ours(sources: Sources) -> None:
    shown = table(made("iaprtc12", KNN, BROKEN), sources)
    rows = {row[0]: row[1:] for row in shown.rows}
    assert rows["kNN"] == [
        "39.0", "50.0", "29.0", "25.0", NONE, "75.0", "36.0", "33.3", "4", "1.2 s", "4.0 min", "2.50 GB",
    ]  # fmt: skip
    assert rows["SVM"] == ["31.0", NONE, "29.0", NONE, NONE, NONE, "34.0", *[NONE] * 5]
    assert all(len(row) == len(shown.columns) for row in shown.rows)
    assert "features of vgg16 (4,096)" in shown.title
    assert "1,234 test" in shown.note
    assert "svm failed: not enough memory" in shown.note
    assert markdown_table(shown).count("\n") == len(rows) + 1


def test_a_data_set_without_printed_numbers_has_ours_alone(sources: Sources) -> None:
    shown = table(made("corel5k", KNN), sources)
    rows = {row[0]: row[1:] for row in shown.rows}
    assert rows["kNN"] == ["50.0", "25.0", "75.0", "33.3", "4", "1.2 s", "4.0 min", "2.50 GB"]


def test_trained_networks_and_the_ablation_have_rows_too(tmp_path: Path, sources: Sources) -> None:
    write(tmp_path, "iaprtc12", bce=1, hard=2, warp=1)
    seeds = "bce+tm,1,test,0.1,0.2,0.3,0.4,5\nbce+tm,2,test,0.1,0.2,0.3,0.4,8\n"
    make_ablation(tmp_path, "iaprtc12", seeds + "bce,1,test,0.5,0.2,0.3,0.4,5\n")
    compared = [MethodResult("warp", "", test=METRICS), MethodResult("bce", "", test=METRICS | {"recall_at_k": 0.6})]
    rows = {row[0]: row[1:] for row in table(made("iaprtc12", *compared), sources).rows}
    truth = scored(2)
    known = metrics.evaluate(truth.scores_NL, truth.targets_NL, truth.k)
    aaam = "AAAM (BCE + TM + Self-Attention)" if "AAAM (BCE + TM + Self-Attention)" in rows else "AAAM"
    assert rows[aaam][1] == f"{100 * known['precision_at_k']:.1f}"
    assert (rows["BCE + TM"][1], rows["BCE + TM"][8]) == ("10.0", "6.5")
    # of BCE there are the method over features, the ablation, and with the attention layer the network after `bce`
    assert rows["BCE"][3] == "60.0"
    assert (rows["BCE (ablation)"][1], rows["BCE (ablation)"][8]) == ("50.0", "5")
    assert rows["BCE + Self-Attention"][-1] == NONE
    # of WARP there are the method over features, and the network
    assert rows["WARP"][1] == "50.0"
    assert rows["WARP (network)"][-1] == NONE


def test_scaled_scores_have_rows_of_their_own_behind_their_method(tmp_path: Path, sources: Sources) -> None:
    write_scores(
        tmp_path / "scores" / "iaprtc12" / "hard.parquet", scored(2)._replace(scaling=Scaling("train", [0.5] * 5))
    )
    better = MethodResult("2pknn", "", test=METRICS, scaled=METRICS | {"n_plus": 9}, scaled_by="val")
    comparison = made("iaprtc12", KNN, better)
    comparison.earlier = ["knn"]
    shown = table(comparison, sources)
    names = [row[0] for row in shown.rows]
    assert "kNN, scaled" not in names
    assert names[names.index("2PkNN") + 1] == "2PkNN, scaled"
    assert shown.rows[names.index("2PkNN, scaled")][1:] == [NONE, "50.0", NONE, "25.0", NONE, "75.0", NONE, "33.3", "9",
                                                          *[NONE] * 3]  # fmt: skip
    assert names[names.index("AAAM") + 1] == "AAAM, scaled"
    assert "By those of val: 2pknn." in shown.note
    assert "Of an earlier run, with other settings, code or libraries: knn." in shown.note
