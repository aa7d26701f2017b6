"""The photographs of annotations, part by part, with the labels that each has by its model and by decisions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from aaam_pipeline.core.artifacts import real_path
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.exchange.annotated import are_decided, read_annotated
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.decisions import Decisions, Verdict, label_key
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.parts import AnnotationsManifest
from aaam_pipeline.formats.taught import TaughtLine, of_embedding, scores
from aaam_pipeline.formats.xmp import Wanted

COLUMNS = ["path", "root", "sha256", "bytes", "mtime", "status", "labels", "label_scores"]


class Photograph(NamedTuple):
    """A photograph: where it lies, what it was when it was annotated, and its labels.

    `path`: as annotations call it; `file`: None where it is behind a URL. `mtime`: microseconds since 1970.
    `wanted`: the labels it has; `refused`: those that a decision denies.
    """

    path: str
    file: Path | None
    sha256: str
    bytes: int
    mtime: int
    wanted: list[Wanted]
    refused: list[str]


def rows_of(folder: Path, manifest: AnnotationsManifest, taught: Sequence[TaughtLine] = ()) -> Iterator[pa.Table]:
    """Yield the annotated rows of each part (`COLUMNS`), in order; words that were `taught` are among their labels.

    Raises:
        IntegrityError: a part is missing or damaged.
    """
    own = set(map(label_key, manifest.vocabulary))
    words = of_embedding(taught, embedding_of(manifest.model_id))
    words = [line for line in words if label_key(line.word.label) not in own]
    columns = [*COLUMNS, "embedding"] if words else COLUMNS
    for rows in read_annotated(folder, manifest, columns):
        yield _with_words(rows, words) if words and len(rows) else rows.select(COLUMNS)


def _with_words(rows: pa.Table, words: Sequence[TaughtLine]) -> pa.Table:
    """Add the words that reach their thresholds to the labels of rows."""
    score_NW = scores(words, to_matrix(rows["embedding"]))
    labels, label_scores = rows["labels"].to_pylist(), rows["label_scores"].to_pylist()
    for row, column in np.argwhere(score_NW >= np.array([line.word.threshold for line in words], np.float32)).tolist():
        labels[row].append(words[column].word.label)
        label_scores[row].append(float(score_NW[row, column]))
    for name, values in {"labels": labels, "label_scores": label_scores}.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, pa.array(values, rows.schema.field(place).type))
    return rows.select(COLUMNS)


def photographs(
    folder: Path, tables: Iterable[pa.Table], decisions: Decisions, limits: Mapping[str, float] | None
) -> Iterator[Photograph]:
    """Yield the photographs of rows (`rows_of`) of annotations in `folder`; a decision wins over the model.

    `limits`: the score from which a label is written, by its key; labels that are not there are not. None: labels are
    written as they are assigned.
    """
    decided = decisions.contents()
    for rows in tables:
        there = are_decided(rows["sha256"].to_pylist(), decided)
        for row, is_decided in zip(_plain(rows), there.tolist(), strict=True):
            verdicts = decisions.of_image(row["sha256"]) if is_decided else {}
            yield Photograph(
                row["path"],
                _file(row["root"], row["path"], folder),
                row["sha256"],
                row["bytes"],
                row["mtime"],
                _wanted(row["labels"], row["label_scores"], verdicts, limits),
                [label for label, verdict in verdicts.items() if verdict.value == "no"],
            )


def _plain(rows: pa.Table) -> Iterator[dict[str, Any]]:
    mtime = rows["mtime"].cast(pa.int64()) if len(rows) else rows["mtime"]
    yield from rows.set_column(rows.schema.get_field_index("mtime"), "mtime", mtime).to_pylist()


def _file(root: str, path: str, folder: Path) -> Path | None:
    return None if "://" in root else real_path(Path(located(root, folder)) / path)


def _wanted(
    labels: Sequence[str],
    label_scores: Sequence[float],
    verdicts: Mapping[str, Verdict],
    limits: Mapping[str, float] | None,
) -> list[Wanted]:
    found: dict[str, Wanted] = {}
    for label, score in zip(labels, label_scores, strict=True):
        if limits is None or score >= limits.get(label_key(label), np.inf):
            found[label_key(label)] = Wanted(label, score)
    scored = {label_key(label): score for label, score in zip(labels, label_scores, strict=True)}
    for label, verdict in verdicts.items():
        key = label_key(label)
        if verdict.value == "no":
            found.pop(key, None)
        else:
            spelled = found[key].label if key in found else label
            found[key] = Wanted(spelled, scored.get(key, verdict.score), verdict.by, verdict.at)
    return list(found.values())
