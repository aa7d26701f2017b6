"""What is exported of a photograph: the model's labels, and a person's decisions, which win.

Annotations are read part by part, so that memory does not grow with them. Shapes: N photographs of a part, L labels of
the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aaam_pipeline.core.portable_paths import is_located, located
from aaam_pipeline.core.progress import Advance
from aaam_pipeline.exchange.annotated import are_decided, asked_labels, read_annotated
from aaam_pipeline.exchange.exporters.options import ExportOptions
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.decisions import Decisions, Verdict, label_key
from aaam_pipeline.formats.parts import AnnotationsManifest
from aaam_pipeline.formats.taught import TaughtLine, scores

FACTS = ["path", "root", "sha256", "width", "height", "captured_at", "captured_at_offset", "unfamiliar"]
COLUMNS = [*FACTS, "status", "labels", "scores"]
TRAIN = "train"
FIRST = ("person", "file", "model")
NOBODY = Verdict("yes", "model", "", "")


class ExportedLabel(NamedTuple):
    """A label of a photograph, or one that was denied; `score`: the model's, None where it does not know the label.

    `said`: who says so, the model itself where nobody decided.
    """

    label: str
    score: float | None
    said: Verdict

    @property
    def is_decided(self) -> bool:
        """Whether it is of the ledger."""
        return self.said is not NOBODY

    def facts(self) -> dict[str, object]:
        """Return label and score, who says so, and of a decision its source and time."""
        decided = {"source": self.said.source, "at": self.said.at} if self.is_decided else {}
        return {"label": self.label, "score": self.score, "by": self.said.by, **decided}


class ExportRow(NamedTuple):
    """A photograph. `labels`: what it shows, what a person decided first, then what files say, then by score; `denied`:
    labels that are decided to be wrong.

    `captured_at`: ISO 8601, with the offset where it is known; `scores`: of all exported labels that the model knows,
    where they are asked for.
    """

    path: str
    root: str
    sha256: str | None
    width: int | None
    height: int | None
    captured_at: str | None
    unfamiliar: bool | None
    labels: list[ExportedLabel]
    denied: list[ExportedLabel]
    scores: dict[str, float] | None
    split: str

    @property
    def location(self) -> str:
        """Where the photograph is: a path or a URL."""
        return f"{self.root.rstrip('/')}/{self.path}"


class LabelSet:
    """The labels that are exported, in order: the model's, words that were taught, then those of decisions alone.

    `columns`: of those that have scores, by name: the place among the model's labels and the words of `taught`;
    `thresholds`: of those of `taught`, by name.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        decisions: Decisions,
        asked: Sequence[str] = (),
        taught: Sequence[TaughtLine] = (),
    ) -> None:
        """Choose labels: those `asked` for, each may be several between commas; none asked: all.

        Raises:
            UnknownLabelError: nobody knows one of them; says which are meant.
            UsageError: what is asked for names none.
        """
        own = {label_key(label) for label in vocabulary}
        self.taught = [line for line in taught if label_key(line.word.label) not in own]
        thresholds = {line.word.label: line.word.threshold for line in self.taught}
        vocabulary = [*vocabulary, *thresholds]
        known = {label_key(label): label for label in (*sorted(decisions.labels), *reversed(vocabulary))}
        names = [*vocabulary, *sorted(set(known.values()) - set(vocabulary))]
        if asked:
            names = [known[key] for key in asked_labels(asked, known)]
        self.names = names
        self.of_key = {label_key(name): name for name in names}
        place = {label: column for column, label in enumerate(vocabulary)}
        self.columns = {name: place[name] for name in names if name in place}
        self.thresholds = {name: thresholds[name] for name in names if name in thresholds}


def read_rows(
    folder: Path,
    manifest: AnnotationsManifest,
    chosen: LabelSet,
    decisions: Decisions,
    options: ExportOptions,
    advance: Advance,
) -> Iterator[ExportRow]:
    """Yield a row for every photograph that was annotated, in the order of the annotations; failed ones have none.

    Splits go by the contents of photographs; what is in none of `options.shares` is in `train`.

    Raises:
        IntegrityError: a part is missing or damaged.
    """
    decided, least = decisions.contents(), options.threshold
    places = np.array(list(chosen.columns.values()), dtype=np.intp)
    columns = [*COLUMNS, "embedding"] if chosen.taught else COLUMNS
    for rows in read_annotated(folder, manifest, columns, advance):
        facts = rows.select(FACTS).to_pylist()
        hashes = [fact["sha256"] for fact in facts]
        there = are_decided(hashes, decided).tolist()
        score_NL = _scores(rows, chosen.taught)[:, places]
        assigned = rows["labels"].to_pylist()
        for row, fact in enumerate(facts):
            score_of = dict(zip(chosen.columns, score_NL[row].tolist(), strict=True))
            if least is None:
                given = {*assigned[row], *(x for x, limit in chosen.thresholds.items() if score_of[x] >= limit)}
            else:
                given = {x for x, p in score_of.items() if p >= least}
            verdicts = decisions.of_image(hashes[row]) if there[row] else {}
            found, denied = _labels(chosen, given, verdicts, score_of)
            yield _row(
                fact, folder, found, denied, score_of if options.scores else None, _split(hashes[row], options.shares)
            )


def _scores(rows: pa.Table, taught: Sequence[TaughtLine]) -> NDArray[np.float32]:
    """Return the scores of the model's labels, then those of the words that were taught."""
    known_NL = to_matrix(rows["scores"])
    return np.hstack([known_NL, scores(taught, to_matrix(rows["embedding"]))]) if taught else known_NL


def _labels(
    chosen: LabelSet, given: set[str], verdicts: Mapping[str, Verdict], score_of: Mapping[str, float]
) -> tuple[list[ExportedLabel], list[ExportedLabel]]:
    """Return the labels of a photograph, in order, and those that are denied."""
    found = {name: ExportedLabel(name, score_of[name], NOBODY) for name in given if name in chosen.columns}
    denied = []
    for label, verdict in verdicts.items():
        name = chosen.of_key.get(label_key(label))
        if name is None:
            continue
        said = ExportedLabel(name, score_of.get(name), verdict)
        if verdict.value == "yes":
            found[name] = said
        else:
            found.pop(name, None)
            denied.append(said)
    return sorted(found.values(), key=_rank), sorted(denied, key=_rank)


def _rank(each: ExportedLabel) -> tuple[int, float, str]:
    return FIRST.index(each.said.by), -(each.score or 0.0), each.label


def _row(
    fact: dict[str, Any],
    folder: Path,
    labels: list[ExportedLabel],
    denied: list[ExportedLabel],
    scores: dict[str, float] | None,
    split: str,
) -> ExportRow:
    root: str = fact["root"]
    return ExportRow(
        path=fact["path"],
        root=root if is_located(root) else located(root, folder),
        sha256=fact["sha256"],
        width=fact["width"],
        height=fact["height"],
        captured_at=_time(fact["captured_at"], fact["captured_at_offset"]),
        unfamiliar=fact["unfamiliar"],
        labels=labels,
        denied=denied,
        scores=scores,
        split=split,
    )


def _time(taken: datetime | None, minutes: int | None) -> str | None:
    if taken is None:
        return None
    return (taken if minutes is None else taken.replace(tzinfo=timezone(timedelta(minutes=minutes)))).isoformat()


def _split(sha256: str | None, shares: Mapping[str, float]) -> str:
    """Return the split of a photograph: that of its content, so that copies are in one, and stay there."""
    place, end = int((sha256 or "0")[:13], 16) / 16**13, 0.0
    for name, share in shares.items():
        end += share
        if place < end:
            return name
    return TRAIN
