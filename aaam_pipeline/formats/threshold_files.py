"""Files that say from which score on a label is assigned: what `thresholds` writes and `relabel` reads.

JSON: `{"labels": [{"label": "dog", "threshold": 0.42}, {"label": "cat", "threshold": null}]}`, or shorter
`{"dog": 0.42, "cat": null}`. CSV: the columns `label` and `threshold`. Other fields and columns are left alone. A
threshold of null, or an empty cell, withholds the word: no image gets it. Shapes: L labels.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aaam_pipeline.core.artifacts import path_text, write_csv, write_json
from aaam_pipeline.core.csv_cells import from_cell
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.assignment import WITHHELD
from aaam_pipeline.formats.vocabulary import Vocabulary

FORMAT, VERSION = "aaam-thresholds", 1
FORM = 'JSON {"dog": 0.42, ...} or CSV with the columns label and threshold'


def read_thresholds(path: Path) -> dict[str, float | None]:
    """Read which threshold each of some labels has, None: it is withheld.

    Raises:
        UsageError: the file is not there, or no such file.
    """
    name = path_text(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        pairs = _of_csv(text) if path.suffix.lower() == ".csv" else _of_json(msgspec.json.decode(text))
    except UnicodeDecodeError:
        raise UsageError(f"{name} holds no thresholds: it is not text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{name} holds no thresholds ({error}); {FORM}") from None
    found: dict[str, float | None] = {}
    for label, threshold in pairs:
        if threshold is not None and not 0 <= threshold <= 1:
            raise UsageError(f"{name}: the threshold of {label!r} is {threshold:g}, not a number from 0 to 1")
        if found.setdefault(label, threshold) != threshold:
            raise UsageError(f"{name} has two thresholds for {label!r}")
    if not found:
        raise UsageError(f"{name} holds no thresholds: it names no label")
    return found


def write_thresholds(path: Path, facts: Mapping[str, Any], labels: Sequence[Mapping[str, Any]]) -> None:
    """Write thresholds atomically, as CSV where the name ends so, else as JSON with `facts` of them all.

    `labels`: of each its `label`, its `threshold` (None: withheld) and what else is known, numbers and text.
    """
    if path.suffix.lower() == ".csv":
        names = list(dict.fromkeys(name for each in labels for name in each)) or ["label", "threshold"]
        write_csv(path, [names, *([each.get(name) for name in names] for each in labels)])
    else:
        write_json(path, {"format": FORMAT, "version": VERSION, **facts, "labels": list(labels)})


def own_thresholds(
    found: Mapping[str, float | None], vocabulary: Vocabulary, before: Sequence[float]
) -> tuple[float, ...]:
    """Return a threshold for each label (L,): the one found, `WITHHELD`, or that of `before` (L,).

    Raises:
        UnknownLabelError: one that was found is no label of the vocabulary.
        UsageError: two of them are the same label.
    """
    own = list(before)
    named: dict[int, str] = {}
    for label, threshold in found.items():
        id = vocabulary.id(label)
        if id in named:
            raise UsageError(f"{named[id]!r} and {label!r} are the same label; give it one threshold")
        named[id] = label
        own[id] = WITHHELD if threshold is None else threshold
    return tuple(own)


def _of_json(content: Any) -> list[tuple[str, float | None]]:
    if isinstance(content, dict) and isinstance(content.get("labels"), list):
        return [(each["label"], _number(each["threshold"])) for each in map(_object, content["labels"])]
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return [(label, _number(threshold)) for label, threshold in content.items()]


def _object(each: Any) -> dict[str, Any]:
    if not isinstance(each, dict) or not isinstance(each.get("label"), str) or "threshold" not in each:
        raise ValueError("one of its labels has no label or no threshold")
    return each


def _of_csv(text: str) -> list[tuple[str, float | None]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if not {"label", "threshold"} <= set(rows.fieldnames or ()):
        raise ValueError("a column label or threshold is missing")
    return [(from_cell(row["label"] or ""), _number(row["threshold"] or None)) for row in rows]


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no threshold")
    return number
