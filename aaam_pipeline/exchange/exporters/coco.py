"""COCO: image-level labels, as annotations that have a category and no box.

Of LVIS comes `neg_category_ids`: categories of which it is known that the image does not show them.
https://cocodataset.org/#format-data, https://www.lvisdataset.org/dataset
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aaam_pipeline.exchange.exporters.rows import ExportRow
from aaam_pipeline.exchange.exporters.target import Add, ExportTarget, json_list, json_text


@contextmanager
def coco(target: ExportTarget) -> Iterator[Add]:
    """Write one JSON file; `file_name` is the path below the root, where there is one root, else the whole path."""
    id_of = {label: number for number, label in enumerate(target.labels, 1)}
    roots = target.facts.get("roots", [])
    head = {
        "info": {"description": "labels of photographs", **target.facts},
        "licenses": [],
        "categories": [{"id": number, "name": label, "supercategory": ""} for label, number in id_of.items()],
    }
    images = annotations = 0
    before, after = json_text(head)[:-1] + b',\n"images": [', b"],\n"
    # the annotations come after all images, of which there may be millions
    with target.path.open("wb") as stream, tempfile.TemporaryFile(dir=target.path.parent) as waiting:
        with (
            json_list(stream, before, after) as add_image,
            json_list(waiting, b'"annotations": [', b"]}\n") as add_annotation,
        ):

            def add(row: ExportRow) -> bool:
                nonlocal images, annotations
                images += 1
                image: dict[str, Any] = {
                    "id": images,
                    "file_name": row.path if len(roots) == 1 else row.location,
                    "width": row.width,
                    "height": row.height,
                    "date_captured": row.captured_at,
                    "sha256": row.sha256,
                    **({"split": row.split} if target.splits else {}),
                    "neg_category_ids": [id_of[each.label] for each in row.denied],
                    "denied": [each.facts() for each in row.denied],
                    **({} if row.scores is None else {"scores": row.scores}),
                }
                add_image(json_text(image))
                for each in row.labels:
                    annotations += 1
                    facts = each.facts()
                    facts.pop("label")
                    ids = {"id": annotations, "image_id": images, "category_id": id_of[each.label]}
                    add_annotation(json_text(ids | facts))
                return True

            yield add
        waiting.seek(0)
        shutil.copyfileobj(waiting, stream)
