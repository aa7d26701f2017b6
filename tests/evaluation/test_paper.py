import json
from pathlib import Path

import pytest

from aaam_pipeline.evaluation.ablation import VARIANTS
from aaam_pipeline.evaluation.paper import METRICS, paper


def test_the_printed_numbers_are_those_of_the_paper(shared: Path) -> None:
    source = shared / "paper" / "tables.json"
    if not source.is_file():
        pytest.skip("no printed tables here")
    tables = json.loads(source.read_text())
    assert list(paper().columns) == tables["columns"] == list(METRICS)
    assert set(paper().datasets) == set(tables["datasets"])
    for name, printed in paper().datasets.items():
        assert {title: list(row) for title, row in printed.rows.items()} == tables[name]
        facts = tables["datasets"][name]
        assert [printed.images, printed.labels, printed.train, printed.test, printed.k] == [
            facts[key] for key in ("images", "labels", "train", "test", "k")
        ]
        assert (printed.mean, list(printed.range)) == (facts["labels_per_image_mean"], facts["labels_per_image_range"])


def test_every_row_of_the_paper_is_a_method_of_ours() -> None:
    titles = list(paper().methods.values())
    assert len(set(titles)) == len(titles)
    for printed in paper().datasets.values():
        assert set(printed.rows) <= set(titles)
        # in the paper's order, so that rows of a data set that the paper has not are in it too
        assert [title for title in titles if title in printed.rows] == list(printed.rows)
        assert printed.train + printed.test == printed.images
    assert {name: paper().methods.get(name, title) for name, title in VARIANTS.items()} == VARIANTS
    assert VARIANTS.keys() - paper().methods.keys() == {"bce-one-phase"}


def test_a_data_set_is_known_by_its_other_name_too() -> None:
    assert paper().printed("coco") is paper().printed("coco2014")
    assert paper().printed("scenes") is None
    assert paper().titles("iaprtc12")[0] == "SVM"
    assert {"Softmax", "CNN-RNN", "AAAM"} <= set(paper().titles("scenes"))
    assert "KCCA" not in paper().titles("scenes")
