"""FiftyOne: its image classification format, which holds several labels an image as well.

    data/           the photographs
    labels.json     {"classes": [...], "labels": {<path in data/ without suffix>: [{"label", "confidence", ...}]}}

https://docs.voxel51.com/user_guide/import_datasets.html#fiftyoneimageclassificationdataset
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aaam_pipeline.exchange.exporters.rows import ExportedLabel, ExportRow
from aaam_pipeline.exchange.exporters.target import Add, ExportTarget, json_list, json_text

DATA = "data"


@contextmanager
def fiftyone(target: ExportTarget) -> Iterator[Add]:
    """Write a folder. `attributes` of a label: who says so, and of a decision its source and time."""
    (target.path / DATA).mkdir()
    before = b'{"classes": ' + json_text(list(target.labels)) + b', "labels": {'
    with (target.path / "labels.json").open("wb") as stream, json_list(stream, before, b"}}\n") as add_item:

        def add(row: ExportRow) -> bool:
            if (name := target.pictures.place(row, DATA)) is None:
                return False
            labels = [_classification(each) for each in row.labels]
            add_item(json_text(os.path.splitext(name)[0]) + b": " + json_text(labels))  # noqa: PTH122
            return True

        yield add


def _classification(each: ExportedLabel) -> dict[str, Any]:
    facts = each.facts()
    label, confidence = facts.pop("label"), facts.pop("score")
    return {"label": label, "confidence": confidence, "attributes": facts}
