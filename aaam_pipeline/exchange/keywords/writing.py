"""Keywords of all photographs of annotations into their sidecars; each is safe on its own, so that a run can stop."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.exchange.annotated import asked_labels
from aaam_pipeline.exchange.embedding import PacketWriter
from aaam_pipeline.exchange.embedding.packet_writer import is_full, said
from aaam_pipeline.exchange.keywords import Note
from aaam_pipeline.exchange.keywords.in_place import InPlace
from aaam_pipeline.exchange.keywords.photographs import Photograph, photographs, rows_of
from aaam_pipeline.exchange.keywords.places import Finder
from aaam_pipeline.exchange.keywords.precision import limits
from aaam_pipeline.exchange.keywords.sidecars import Change, LeftOutError, Sidecars
from aaam_pipeline.formats.decisions import Decisions, label_key
from aaam_pipeline.formats.packets import PacketError
from aaam_pipeline.formats.parts import AnnotationsManifest, read_annotations_manifest
from aaam_pipeline.formats.taught import TaughtLine
from aaam_pipeline.formats.xmp import XmpError

WHAT = ("added", "removed", "deleted", "adopted")
Told = Callable[[str, Change], None]
Failed = Callable[[str, str], None]


class KeywordOptions(NamedTuple):
    """What is written.

    `precision`: the share of keywords that shall be right; `thresholds`: the least score of each label, None: it is
    withheld; `labels`: these alone, several between commas, none: all; `taught`: words that a person taught; `at`: the
    time of the run.
    """

    at: str
    precision: float | None = None
    thresholds: Mapping[str, float | None] | None = None
    labels: Sequence[str] = ()
    taught: Sequence[TaughtLine] = ()
    dry_run: bool = False


@dataclass
class Summary:
    """What became of photographs, sidecars (by action) and keywords.

    `left_out`, `failures`: photographs by reason; `withheld`: labels that are not written, since none of their scores
    is enough; `unwritable`: labels that XML cannot hold.
    """

    photographs: int = 0
    unchanged: int = 0
    sidecars: Counter[str] = field(default_factory=Counter)
    keywords: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    withheld: list[str] = field(default_factory=list)
    unwritable: set[str] = field(default_factory=set)

    def count(self, changes: Sequence[Change]) -> None:
        """Add what became of the sidecars of a photograph."""
        self.unchanged += not changes
        for change in changes:
            self.sidecars[change.action] += 1
            for what in WHAT:
                self.keywords[what] += len(getattr(change, what))


def write(
    folders: Sequence[Path],
    decisions: Decisions,
    finder: Finder,
    note: Note,
    options: KeywordOptions,
    report: Reporter,
    told: Told,
    failed: Failed,
    into: PacketWriter | None = None,
) -> Summary:
    """Write keywords for all photographs of annotations, into sidecars, or by `into` into the photographs themselves.

    `told` is told of every change of a sidecar, `failed` of every photograph that failed, and why.

    Raises:
        UsageError: a folder holds no annotations, or nobody knows a label that was asked for.
        IntegrityError: annotations are damaged.
        OSError: there is no room on the disk; what was written is whole.
    """
    opened = [(folder, read_annotations_manifest(folder)) for folder in folders]
    taught = [line.word.label for line in options.taught]
    names = [*decisions.labels, *taught, *(label for _, manifest in opened for label in manifest.vocabulary)]
    wanted = set(asked_labels(options.labels, {label_key(name): name for name in names}) if options.labels else ())
    summary = Summary()
    for folder, manifest in opened:
        least = _limits(folder, manifest, options, summary)
        sidecars = Sidecars(
            finder,
            note,
            model=manifest.model_id,
            at=options.at,
            concerned=lambda label: not wanted or label_key(label) in wanted,
            dry_run=options.dry_run,
            reads_pictures=into is not None,
        )
        writer = sidecars if into is None else InPlace(sidecars, into, decisions)
        with report.task("keywords", manifest.successes) as advance:
            rows = rows_of(folder, manifest, options.taught)
            for photograph in photographs(folder, rows, decisions, least):
                advance(1, _written(writer, photograph, summary, told, failed))
    return summary


def _limits(
    folder: Path, manifest: AnnotationsManifest, options: KeywordOptions, summary: Summary
) -> dict[str, float] | None:
    """Return the score from which a label is written, by its key; None: labels are written as they are assigned."""
    if options.thresholds is not None:
        given = options.thresholds.items()
        summary.withheld += sorted(label for label, threshold in given if threshold is None)
        # scores are of float32
        return {label_key(label): float(np.float32(least)) for label, least in given if least is not None}
    if options.precision is None:
        return None
    found = limits(rows_of(folder, manifest, options.taught), options.precision)
    summary.withheld = sorted({*summary.withheld, *found.withheld})
    return found.of


def _written(writer: Sidecars | InPlace, photograph: Photograph, summary: Summary, told: Told, failed: Failed) -> int:
    """Write the keywords of a photograph; return 1 if it failed."""
    summary.photographs += 1
    try:
        plan = writer.write(photograph)
    except LeftOutError as error:
        summary.left_out[str(error)] += 1
        return 0
    except (XmpError, PacketError, OSError) as error:
        if is_full(error):
            raise
        why = said(error)
        summary.failures[why] += 1
        failed(photograph.path, why)
        return 1
    summary.count([change for change, _, _ in plan.changes])
    summary.unwritable.update(plan.unwritable)
    for change, _, _ in plan.changes:
        told(photograph.path, change)
    return 0
