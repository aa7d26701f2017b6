"""The sections of a report: labels, calibration, co-occurrence and queries."""

from pathlib import Path

import numpy as np
import pytest
from evaluation.projects import COUNTS, LABELS, make_prepared, read, scored, write

from aaam_pipeline import metrics
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.evaluation.document import NONE
from aaam_pipeline.evaluation.sections import calibration, cooccurrence, labels, overview, queries
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.scores import write_scores


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three phases of `scenes`, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "scenes", bce=1, joint=1.5, hard=2)
    return tmp_path


def test_labels_are_ordered_by_difficulty_and_by_gain(project: Path) -> None:
    make_prepared(project, "scenes")
    hardest, up, down, every = labels(read()).items
    ap, before = (metrics.average_precision(scored(each).scores_NL, scored(each).targets_NL) for each in (2, 1))
    there = [index for index, label in enumerate(LABELS) if label != "never"]
    order = sorted(there, key=lambda label: ap[label])
    assert [row[0] for row in hardest.rows] == [LABELS[label] for label in order]  # type: ignore[union-attr]
    gains = sorted(
        (label for label in there if ap[label] > before[label] + 5e-4), key=lambda label: before[label] - ap[label]
    )
    assert [row[0] for row in up.rows] == [LABELS[label] for label in gains]  # type: ignore[union-attr]
    assert down.rows == []  # type: ignore[union-attr]
    table = {row[0]: row for row in every.rows}  # type: ignore[union-attr]
    assert list(table) == LABELS
    assert table["never"][3:] == [NONE] * 4
    first = [f"{100 * before[0]:.1f}", f"{100 * ap[0]:.1f}", f"{100 * (ap[0] - before[0]):+.1f}"]
    assert table["sky"][3:6] == first
    assert "1 labels have no test image" in labels(read()).text


def test_with_unknown_labels_tables_say_what_is_known(project: Path) -> None:
    make_prepared(project, "scenes", unknown=("sky", "<sea>"))
    for name, strength in (("bce", 1), ("joint", 1.5), ("hard", 2)):
        truth = read_split(project / "data/prepared/scenes", "test").targets_NL
        write_scores(project / f"scores/scenes/{name}.parquet", scored(strength)._replace(targets_NL=truth))
    every = labels(read()).items[-1]
    assert every.columns[3].name == "known"  # type: ignore[union-attr]
    table = {row[0]: row for row in every.rows}  # type: ignore[union-attr]
    # of `sky` only the images that have it are known: no ranking can miss it
    assert (table["sky"][2], table["sky"][4]) == (table["sky"][3], NONE)
    assert (int(table["traffic light"][3]), int(table["sky"][3]) < 40) == (40, True)
    assert "1 labels have no test image that is known to be without them" in labels(read()).text
    report = read()
    truth = np.concatenate([read_split(project / "data/prepared/scenes", each).targets_NL for each in COUNTS])
    lights, sea = (truth[:, LABELS.index(label)] for label in ("traffic light", "<sea>"))
    share = 100 * ((lights > 0) & (sea > 0)).sum() / ((lights > 0) & (sea >= 0)).sum()
    chart, _ = cooccurrence(report).items
    assert f"P(&lt;sea&gt; | traffic light) = {share:.1f} %" in chart.svg  # type: ignore[union-attr]
    assert overview(report).items


def test_calibration_is_before_and_after(project: Path) -> None:
    line = Calibration([0.5] * 5, [0.3] * 5)
    write_scores(project / "scores/scenes/hard.parquet", scored(2, line))
    (chart,) = calibration(read()).items
    assert chart.svg.count("before</text>") == 1  # type: ignore[union-attr]
    assert " before, " in chart.note
    table = overview(read()).items[0].rows  # type: ignore[union-attr]
    assert [row[-2] == NONE for row in table] == [True, True, False]


def test_co_occurrence_is_the_share_of_the_rows_images(project: Path) -> None:
    make_prepared(project, "scenes")
    chart, pairs = cooccurrence(read()).items
    together = read().together_LL
    assert together[0, 1] == together[1, 0]
    share = 100 * together[0, 1] / together[0, 0]
    assert f"P(&lt;sea&gt; | sky) = {share:.1f} %" in chart.svg  # type: ignore[union-attr]
    row = next(row for row in pairs.rows if set(row[:2]) == {"sky", "<sea>"})  # type: ignore[union-attr]
    assert int(row[2]) == together[0, 1]
    # of the most frequent labels only
    many = read()._replace(labels=[f"l{n}" for n in range(60)], together_LL=np.full((60, 60), 5) + np.diag(range(60)))
    (drawn,) = cooccurrence(many._replace(statistics=None)).items
    assert "the 40 most frequent labels" in drawn.note
    assert ">l59<" in drawn.svg  # type: ignore[union-attr]
    assert ">l19<" not in drawn.svg  # type: ignore[union-attr]


def test_queries_are_those_that_enough_images_answer(project: Path) -> None:
    section = queries(read())
    pairs = metrics.pair_queries(scored(2).scores_NL, scored(2).targets_NL, 10)
    enough = pairs.relevant_P >= 10
    assert f"over the {enough.sum()} pairs" in section.text
    hardest = section.items[0].rows  # type: ignore[union-attr]
    assert [int(row[-1]) for row in hardest] == sorted(round(100 * value) for value in pairs.precision_P[enough])[:10]
    few = read()
    nothing = few._replace(pairs=[few.pairs[0], few.pairs[1]._replace(relevant_P=few.pairs[1].relevant_P * 0)])
    assert queries(nothing).items == []
