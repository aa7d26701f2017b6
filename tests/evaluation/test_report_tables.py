"""The tables of a report: which methods are rows, the paper's numbers beside ours, and data sets counted."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from evaluation.projects import make_ablation, make_prepared, read, rows, scored, write

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.evaluation.document import NONE, Table
from aaam_pipeline.evaluation.paper_tables import not_run, results, table_1
from aaam_pipeline.evaluation.sections import cooccurrence, labels, overview
from aaam_pipeline.formats.scaling import Scaling
from aaam_pipeline.formats.scores import write_scores


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three phases of `scenes`, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "scenes", bce=1, joint=1.5, hard=2)
    return tmp_path


def test_phases_are_the_rows_that_they_are_and_the_others_say_why_they_are_missing(project: Path) -> None:
    write(project, "scenes", compare_knn=0.5, warp=0.7, mine=3)
    table = rows(read())
    assert {title: row[-1] for title, row in table.items() if not row[-1].startswith("not run")} == {
        "BCE + Self-Attention": "bce.parquet",
        "AAAM": "hard.parquet",
        "AAAM after joint training": "joint.parquet",
        "kNN": "compare/knn.parquet",
        "WARP": "warp.parquet",
        "mine": "mine.parquet",
    }
    expected = metrics.evaluate(scored(2).scores_NL, scored(2).targets_NL, 2)
    names = ("precision_at_k", "recall_at_k", "map_at_10", "map")
    assert table["AAAM"][:4] == [f"{100 * expected[name]:.2f}" for name in names]
    assert table["TagProp"] == [NONE] * 4 + ["not run: no compare/tagprop.parquet"]
    assert table["BCE"][-1] == table["BCE + TM"][-1] == "not run: no ablation.csv"
    assert list(table)[-2:] == ["AAAM after joint training", "mine"]


def test_scaled_scores_have_rows_of_their_own(project: Path) -> None:
    write_scores(
        project / "scores/scenes/hard.parquet", scored(2)._replace(scaling=Scaling("val", [1, 0.1, 0.2, 0, 1]))
    )
    report = read()
    found = metrics.evaluate(scored(2).scores_NL / [1, 0.1, 0.2, 1, 1], scored(2).targets_NL, 2)
    names = list(rows(report))
    assert names[names.index("AAAM") + 1] == "AAAM, scaled"
    assert "BCE + Self-Attention, scaled" not in names
    assert rows(report)["AAAM, scaled"][0] == f"{100 * found['precision_at_k']:.2f}"
    assert rows(report)["AAAM, scaled"][-1] == "hard.parquet, by val"
    assert "divided by a label's maximum" in results(report).note
    (shown,) = overview(report).items
    assert isinstance(shown, Table)
    above, below = (row for row in shown.rows if row[1] == "hard")
    assert (above[0], below[0]) == ("AAAM", "AAAM, scaled")
    assert below[-4:] == [NONE] * 4
    assert [shown.rows[each][0] for each in shown.strong] == ["AAAM"]


def test_a_missing_phase_is_a_missing_file(project: Path) -> None:
    (project / "scores/scenes/hard.parquet").unlink()
    assert rows(read())["AAAM"][-1] == "not run: no hard.parquet"
    assert read().ours.name == "joint"


def test_the_ablation_fills_the_rows_that_no_scores_fill(project: Path) -> None:
    seeds = "".join(f"bce,{seed},{split},{value},0.5,0.6,0.7,3\n" for seed, split, value in
                    ((1, "test", 0.4), (2, "test", 0.5), (1, "val", 0.9)))  # fmt: skip
    make_ablation(project, "scenes", seeds + "aaam,1,test,0.1,0.2,0.3,0.4,5\n")
    table = rows(read())
    assert table["BCE"] == ["45.00 ± 7.07", "50.00 ± 0.00", "60.00 ± 0.00", "70.00 ± 0.00", "ablation.csv, 2 seeds"]
    assert table["AAAM (ablation)"] == ["10.00", "20.00", "30.00", "40.00", "ablation.csv, one seed"]
    assert table["AAAM"][-1] == "hard.parquet"
    assert table["BCE + TM"][-1] == "not run: no bce+tm in ablation.csv"
    assert "standard deviation" in results(read()).note


@pytest.mark.parametrize(
    "content", ["variant,split\nbce,test\n", "variant,seed,split,map\nbce,1,test,much\n", "x\n1\n"]
)
def test_a_damaged_ablation_is_refused(content: str, project: Path) -> None:
    make_ablation(project, "scenes", "")
    (project / "reports/scenes/ablation.csv").write_text(content)
    with pytest.raises(IntegrityError, match=r"ablation\.csv is no table"):
        read()


@pytest.mark.parametrize(
    "settings",
    [
        {"scenes": {"model": {"attention": {"filters": "none"}}}},
        {
            "presets": {"plain": {"model": {"attention": {"filters": "none"}}}},
            "scenes": {"preset": "plain", "model": {"attention": {"filters": "dense"}}},
        },
    ],
)
def test_a_network_without_attention_is_no_aaam(settings: dict[str, Any], project: Path) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump({"other": {"model": {}}}))
    assert "AAAM after joint training" in rows(read())
    (project / "params.yaml").write_text(yaml.safe_dump(settings))
    table = rows(read())
    assert table["BCE"][-1] == "bce.parquet"
    assert table["BCE + TM"][-1] == "hard.parquet"
    assert table["AAAM"][-1] == "not run: the network has no attention layer"


def test_a_data_set_of_the_paper_has_the_printed_numbers_and_the_difference(project: Path) -> None:
    write(project, "nuswide", bce=1, hard=2, compare_knn=0.5)
    table = results(read("nuswide"))
    assert table.title == "Table 4. Image annotation results on NUS-WIDE (k = 2)"
    assert "The paper has k = 3" in table.note
    ours = metrics.evaluate(scored(2).scores_NL, scored(2).targets_NL, 2)["map"] * 100
    (row,) = [row for row in table.rows if row[0] == "AAAM"]
    assert row[10:13] == ["53.98", f"{ours:.2f}", f"{ours - 53.98:+.2f}"]
    assert [row[0] for row in table.rows if row[0] not in ("AAAM after joint training",)][:3] == [
        "Logistic",
        "SVM",
        "BCE",
    ]
    (printed_only,) = [row for row in table.rows if row[0] == "CNN-RNN"]
    assert printed_only[1:] == ["40.50", NONE, NONE, "30.40", *[NONE] * 8, "not run: no compare/cnn-rnn.parquet"]
    (knn,) = [row for row in table.rows if row[0] == "kNN"]
    assert knn[7:10] == [
        NONE,
        f"{metrics.evaluate(scored(0.5).scores_NL, scored(0.5).targets_NL, 2)['map_at_10'] * 100:.2f}",
        NONE,
    ]


def test_table_1_counts_the_prepared_pictures(project: Path) -> None:
    make_prepared(project, "scenes")
    write(project, "nuswide", bce=1)
    make_prepared(project, "nuswide", missing=3)
    table = table_1([read(), read("nuswide")], {"coco2014": "not run"})
    columns = [(column.group, column.name) for column in table.columns[1:]]
    both = [("NUS-WIDE", name) for name in ("printed", "ours", "diff.")]
    assert columns == [("scenes", "ours"), *both, ("COCO 2014", "printed")]
    found = {row[0]: row[1:] for row in table.rows}
    assert found["images"] == ["80", "209,347", "80", "-209,267", "122,585"]
    assert found["train images"][0] == "40"
    assert found["labels an image, most"] == ["4", "12", "4", "-8", "18"]
    assert found["labels an image, mean"][1:3] == ["2.4", found["labels an image, mean"][0]]
    assert "COCO 2014: not run." in table.note
    assert "NUS-WIDE: 3 images more are missing or cannot be decoded" in table.note
    assert "scenes:" not in table.note


def test_without_prepared_pictures_the_rest_is_there(project: Path) -> None:
    assert read().statistics is None
    assert "scenes: not counted: no data/prepared/scenes" in table_1([read()], {}).note
    assert {row[1] for row in labels(read()).items[-1].rows} == {NONE}  # type: ignore[union-attr]
    assert len(cooccurrence(read()).items) == 1


def test_prepared_pictures_of_other_labels_are_refused(project: Path) -> None:
    make_prepared(project, "scenes")
    vocabulary = project / "data/prepared/scenes/vocabulary.json"
    vocabulary.write_text(vocabulary.read_text().replace("sky", "sun"))
    with pytest.raises(IntegrityError, match="other labels than the scores"):
        read()


def test_methods_are_chosen_by_name(project: Path) -> None:
    write(project, "scenes", compare_knn=0.5)
    chosen = read(baseline="knn", ours="joint")
    assert (chosen.baseline.title, chosen.ours.title) == ("kNN", "AAAM after joint training")
    with pytest.raises(UsageError, match="no scores of a method 'svm'; known: bce, joint, hard, compare/knn"):
        read(ours="svm")


def test_methods_of_other_images_are_refused(project: Path) -> None:
    write_scores(project / "scores/scenes/mine.parquet", scored(1, images=20))
    with pytest.raises(IntegrityError, match="mine was scored on other images, labels or k than bce"):
        read()


def test_a_method_of_ones_own_is_added_as_the_documentation_says(project: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    (block,) = re.findall(r"```\n(from aaam_pipeline\.formats\.scores.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/report.md", "exec"), {"Path": Path, "my_scores": scored(3).scores_NL})
    assert rows(read())["mine"][-1] == "mine.parquet"


def test_tables_of_the_paper_that_were_not_run_are_printed_alone() -> None:
    table = not_run("iaprtc12", "not run, of a reason")
    assert table.title.startswith("Table 3.")
    assert [row[0] for row in table.rows][-1] == "AAAM"
    assert table.rows[-1][1:4] == ["52.33", NONE, NONE]
    assert {row[-1] for row in table.rows} == {"not run, of a reason"}
