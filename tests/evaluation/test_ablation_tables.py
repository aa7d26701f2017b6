import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import DatasetError, IntegrityError
from aaam_pipeline.evaluation.ablation import COLUMNS, VARIANTS, summarise
from aaam_pipeline.formats.scores import ScoredSplit, read_scores, write_scores

SEEDS, N, L, K = (1, 2, 3), 60, 9, 2
PAGE = "Text before.\n<!-- tables: toy -->\nold\n<!-- end: toy -->\nText after.\n"
# how clearly a variant sees the truth
CLEAR = {"bce-one-phase": 0.5, "bce": 0.6, "bce+attention": 0.9, "bce+tm": 0.9, "aaam": 3.0}


def split(variant: str, seed: int) -> ScoredSplit:
    targets = np.random.default_rng(0).integers(0, 2, (N, L)).astype(np.uint8)
    noise = np.random.default_rng(seed).normal(size=(N, L))
    scores = 1 / (1 + np.exp(-(CLEAR[variant] * (2 * targets - 1.0) + noise)))
    return ScoredSplit(
        [str(n) for n in range(N)], scores.astype(np.float32), targets, [f"label{n}" for n in range(L)], K
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for variant in VARIANTS:
        for seed in SEEDS:
            path = tmp_path / "scores" / "toy" / "ablation" / variant / f"{seed}.parquet"
            write_scores(path, split(variant, seed))
            validation = dict.fromkeys(COLUMNS, 0.25 + seed / 100) | {"n_plus": 5}
            path.with_suffix(".json").write_text(json.dumps(validation))
    (tmp_path / "page.md").write_text(PAGE)
    return tmp_path


def run(project: Path) -> str:
    summarise(["toy"], project / "scores", project / "reports", project / "page.md")
    return (project / "page.md").read_text()


def cells(page: str, row: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[2:-1]] for line in page.splitlines() if line.startswith(f"| {row} |")
    ]


def test_the_tables_hold_means_deviations_and_paired_gains(project: Path) -> None:
    page = run(project)
    found = {variant: [metrics.evaluate(*each[1:3], K) for each in (split(variant, s) for s in SEEDS)]
             for variant in VARIANTS}  # fmt: skip
    maps = {variant: 100 * np.array([each["map"] for each in of]) for variant, of in found.items()}
    test_row, val_row, *_ = cells(page, "AAAM")
    assert test_row[3] == f"{maps['aaam'].mean():.1f} ± {maps['aaam'].std(ddof=1):.1f}"
    assert val_row[3] == "27.0 ± 1.0"
    gain = maps["aaam"] - maps["bce"]
    error = gain.std(ddof=1) / 3**0.5
    assert cells(page, "AAAM, gain over BCE")[0][3] == f"{gain.mean():+.2f} ± {error:.2f} (3 of 3)"
    assert page.startswith("Text before.")
    assert page.endswith("Text after.\n")
    assert "old" not in page


def test_labels_are_divided_by_the_baselines_own_ap(project: Path) -> None:
    easy, middling, hard = cells(run(project), "BCE")[2]
    assert float(easy.split()[0]) > float(middling.split()[0]) > float(hard.split()[0])


def mean_ap(variant: str, counted: NDArray[np.integer]) -> float:
    """Return the mAP in %, over seeds, where each image is there `counted` times."""
    rows = np.repeat(np.arange(N), counted)
    found = (split(variant, seed) for seed in SEEDS)
    return 100 * float(
        np.mean([metrics.average_precision(each.scores_NL[rows], each.targets_NL[rows]) for each in found])
    )


def test_intervals_are_of_the_same_samples_of_images(project: Path) -> None:
    page = run(project)
    counts = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), size=200)
    samples = {variant: np.array([mean_ap(variant, counted) for counted in counts]) for variant in ("bce", "aaam")}
    row, gain = cells(page, "AAAM")[-1][-1], cells(page, "AAAM, gain over BCE")[-1][-1]
    around = 1.96 * samples["aaam"].std()
    mean = float(row.split()[0])
    low, high = (float(each) for each in row.rpartition(", ")[2].split(" to "))
    assert (low, high) == (pytest.approx(mean - around, abs=0.11), pytest.approx(mean + around, abs=0.11))
    low, high = (float(each) for each in gain.rpartition(", ")[2].split(" to "))
    assert high - low == pytest.approx(2 * 1.96 * (samples["aaam"] - samples["bce"]).std(), abs=0.011)


def test_labels_on_few_images_are_also_left_out(project: Path) -> None:
    assert "| all labels (9) |" in run(project)
    for path in project.glob("scores/toy/ablation/*/*.parquet"):
        scored = read_scores(path)
        targets = scored.targets_NL.copy()
        targets[9:, 0] = 0
        write_scores(path, scored._replace(targets_NL=targets))
    assert "| labels on at least 10 images (8) | all labels (9) |" in run(project)


@pytest.mark.parametrize("field", ["image_ids", "labels", "targets_NL"])
def test_scores_of_other_images_are_refused(project: Path, field: str) -> None:
    path = project / "scores" / "toy" / "ablation" / "aaam" / "3.parquet"
    scored = read_scores(path)
    write_scores(path, scored._replace(**{field: getattr(scored, field)[::-1]}))
    with pytest.raises(DatasetError, match="different images or labels"):
        run(project)


def test_a_second_run_changes_nothing(project: Path) -> None:
    assert run(project) == run(project)


def test_every_run_is_a_row_of_the_table(project: Path) -> None:
    run(project)
    with (project / "reports" / "toy" / "ablation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * len(VARIANTS) * len(SEEDS)
    row = next(row for row in rows if (row["variant"], row["seed"], row["split"]) == ("aaam", "2", "test"))
    one = split("aaam", 2)
    assert float(row["map"]) == pytest.approx(metrics.evaluate(one.scores_NL, one.targets_NL, K)["map"], abs=1e-6)


def test_of_networks_that_trained_on_validation_images_there_is_no_validation_table(project: Path) -> None:
    for path in project.glob("scores/toy/ablation/*/*.json"):
        path.write_text("{}")
    assert "Validation split" not in run(project)
    assert len(cells(run(project), "AAAM")) == 3
    assert ",val," not in (project / "reports" / "toy" / "ablation.csv").read_text()


def test_a_missing_seed_is_named(project: Path) -> None:
    (project / "scores" / "toy" / "ablation" / "bce+tm" / "2.parquet").unlink()
    with pytest.raises(DatasetError, match=r"bce\+tm': \[1, 3\]"):
        run(project)


def test_a_page_that_is_not_there_gets_an_introduction_and_every_table(project: Path) -> None:
    between = run(project).partition("<!-- tables: toy -->")[2].partition("<!-- end: toy -->")[0]
    (project / "page.md").unlink()
    page = run(project)
    assert page.startswith("# The ablation\n")
    assert f"## toy\n\n<!-- tables: toy -->{between}<!-- end: toy -->\n" in page
    assert run(project) == page


def test_a_data_set_without_markers_is_appended(project: Path) -> None:
    (project / "page.md").write_text("Only text.\n")
    page = run(project)
    assert page.startswith("Only text.\n\n## toy\n\n<!-- tables: toy -->\n")
    assert page.endswith("<!-- end: toy -->\n")


@pytest.mark.parametrize("text", ["<!-- tables: toy -->\n", "<!-- end: toy -->\n<!-- tables: toy -->\n"])
def test_a_page_with_damaged_markers_is_refused_and_kept(project: Path, text: str) -> None:
    (project / "page.md").write_text(text)
    with pytest.raises(IntegrityError, match="<!-- tables: toy -->"):
        run(project)
    assert (project / "page.md").read_text() == text
