"""Tables: CSV with a line for every label of a photograph, and JSON Lines with an object for every photograph."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager

from aaam_pipeline.core.csv_cells import to_cells
from aaam_pipeline.exchange.exporters.rows import ExportedLabel, ExportRow
from aaam_pipeline.exchange.exporters.target import Add, ExportTarget, json_text, record

BUFFER = 1 << 20


@contextmanager
def csv_file(target: ExportTarget) -> Iterator[Add]:
    """Write `image,label,value`, as tables of labels are read by `train`, and what is known besides.

    A photograph without a label has one line, its label empty; with scores, the labels of which nothing is said have
    lines with an empty value.
    """
    with target.path.open("w", BUFFER, encoding="utf8", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        split = ["split"] if target.splits else []
        lines.writerow(["image", "label", "value", "score", "by", "source", "at", *split, *FACTS])

        def add(row: ExportRow) -> bool:
            facts = [*([row.split] if split else []), *(getattr(row, name) for name in FACTS)]
            said = [*((each, "yes") for each in row.labels), *((each, "no") for each in row.denied)]
            cells = [[each.label, value, each.score, *_said(each)] for each, value in said]
            if row.scores is not None:
                names = {each.label for each, _ in said}
                others = [(label, score) for label, score in row.scores.items() if label not in names]
                cells += [[label, "", score, "", "", ""] for label, score in others]
            for each in cells or [[""] * 6]:
                lines.writerow(to_cells([row.path, *each, *facts]))
            return True

        yield add


FACTS = ("root", "sha256", "width", "height", "captured_at")


def _said(each: ExportedLabel) -> list[str]:
    return [each.said.by, each.said.source, each.said.at]


@contextmanager
def json_lines(target: ExportTarget) -> Iterator[Add]:
    """Write an object a line."""
    with target.path.open("wb", BUFFER) as stream:

        def add(row: ExportRow) -> bool:
            return stream.write(json_text(record(row, target)) + b"\n") > 0

        yield add
