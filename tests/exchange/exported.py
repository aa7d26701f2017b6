"""A small library with decisions, and what is expected of any export of it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow.dataset

ANNA = {"by": "person", "source": "anna", "at": "2026-11-29T10:00:00Z"}
# a word that no model knows, with all that breaks lists and names
STRANGE = 'Großmutter, "x" / 猫|🦄'


def annotated_rows(annotations: Path) -> list[dict[str, object]]:
    parts = sorted(map(str, annotations.glob("part-*.parquet")))
    columns = ["path", "root", "sha256", "labels", "scores", "status"]
    return pyarrow.dataset.dataset(parts).to_table(columns=columns).to_pylist()


def decide(ledger: Path, rows: list[dict[str, object]], *decided: tuple[int, str, str]) -> None:
    with ledger.open("a", encoding="utf8") as stream:
        for row, label, value in decided:
            line = {"sha256": rows[row]["sha256"], "label": label, "value": value, **ANNA}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def expected(rows: list[dict[str, object]], decisions: Mapping[tuple[int, str], str]) -> dict[str, set[str]]:
    """The labels of each path: the model's, with the yes added and the no taken away."""
    found = {str(row["path"]): set(row["labels"]) for row in rows if row["status"] == "ok"}
    for (row, label), value in decisions.items():
        labels = found[str(rows[row]["path"])]
        labels.add(label) if value == "yes" else labels.discard(label)
    return found
