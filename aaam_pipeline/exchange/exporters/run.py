"""Write annotations and decisions in the format of another program, whole or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path

import msgspec

from aaam_pipeline import __version__
from aaam_pipeline.core.artifacts import PARTIAL, absolute, path_text, publish, work_folder, write_json
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.exchange.exporters.coco import coco
from aaam_pipeline.exchange.exporters.fiftyone import fiftyone
from aaam_pipeline.exchange.exporters.imagefolder import imagefolder
from aaam_pipeline.exchange.exporters.options import ExportOptions
from aaam_pipeline.exchange.exporters.pictures import Pictures
from aaam_pipeline.exchange.exporters.rows import TRAIN, ExportRow, LabelSet, read_rows
from aaam_pipeline.exchange.exporters.tables import csv_file, json_lines
from aaam_pipeline.exchange.exporters.target import WITHOUT_LABEL, Add, ExportFormat, ExportTarget
from aaam_pipeline.exchange.exporters.webdataset import webdataset
from aaam_pipeline.exchange.exporters.yolo import yolo, yolo_classify
from aaam_pipeline.formats.decision_lines import refuse_ledger
from aaam_pipeline.formats.decisions import Decisions
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.parts import read_annotations_manifest
from aaam_pipeline.formats.taught import TaughtLine, of_embedding

FORMATS = {
    each.name: each
    for each in (
        ExportFormat("csv", "a line for each label of a photograph, as `train` reads it", csv_file, ".csv"),
        ExportFormat("jsonl", "an object a line for each photograph", json_lines, ".jsonl"),
        ExportFormat("coco", "image-level labels as COCO's annotations", coco, ".json"),
        ExportFormat("yolo", "text files with numbers of classes", yolo, holds_pictures=True, flat=True),
        ExportFormat("yolo-classify", "a folder for each class", yolo_classify, holds_pictures=True, needs_label=True),
        ExportFormat("fiftyone", "FiftyOne's image classification", fiftyone, holds_pictures=True, has_splits=False),
        ExportFormat("webdataset", "tars of photographs", webdataset, holds_pictures=True, only_copies=True),
        ExportFormat("imagefolder", "for `datasets` of Hugging Face", imagefolder, holds_pictures=True),
    )
}
# what tells a folder that was exported from any other, which is never replaced
MARK = ".export.json"


class ExportSummary(msgspec.Struct):
    """What was exported, or would be. `labels`: pairs of a photograph and a label; `decided`, `denied`: those of them
    that the ledger adds, and those that it takes away; `missing`: photographs that could not be had, by reason, and
    `named` the first of them; `left_out`: those that have no place in the format.
    """

    format: str
    out: str
    images: int = 0
    labels: int = 0
    decided: int = 0
    denied: int = 0
    splits: dict[str, int] = {}
    missing: dict[str, int] = {}
    named: list[str] = []
    left_out: dict[str, int] = {}
    failed: int = 0
    dry_run: bool = False


# what people call a format by the program that reads it
ALSO = {"huggingface": "imagefolder", "hugging-face": "imagefolder", "hf": "imagefolder", "datasets": "imagefolder"}


def find_format(name: str) -> ExportFormat:
    """Return a format by its name.

    Raises:
        UsageError: there is none of this name.
    """
    if found := FORMATS.get(name.lower()):
        return found
    near = [ALSO[name.lower()]] if name.lower() in ALSO else get_close_matches(name.lower(), FORMATS, 1, 0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"{name!r} is not a format; {meant}formats: {', '.join(FORMATS)}")


def export(
    kind: ExportFormat,
    out: Path,
    annotations: Path,
    decisions: Decisions,
    options: ExportOptions,
    report: Reporter,
    taught: Sequence[TaughtLine] = (),
) -> ExportSummary:
    """Write `out` in a format; while it is written, and when that fails, nothing is there but what was.

    `taught`: words that a person taught; those of the annotations' embedding are labels like any others.

    Raises:
        UsageError: the options do not fit, `annotations` are none, or `out` must not be replaced.
        UnknownLabelError: nobody knows a label.
        IntegrityError: annotations are damaged.
    """
    _check(kind, out, options)
    if absolute(out).is_relative_to(absolute(annotations)):
        raise UsageError(f"{out} lies in {annotations}, which holds annotations alone; name another output")
    manifest = read_annotations_manifest(annotations)
    for root in manifest.roots if kind.holds_pictures else ():
        if absolute(out).is_relative_to(located(root, annotations)):
            report.info(f"{out} lies below {root}: annotating that again takes the pictures of {out}, too")
    taught = of_embedding(taught, embedding_of(manifest.model_id))
    chosen = LabelSet(manifest.vocabulary, decisions, options.labels, taught)
    summary = ExportSummary(kind.name, path_text(out), dry_run=options.dry_run)
    summary.failed = manifest.inputs - manifest.successes
    splits = [TRAIN, *options.shares] if options.shares else []
    with _written(kind, out, options.dry_run) as path, report.task("exporting", manifest.inputs) as advance:
        holds = kind.holds_pictures and not options.dry_run
        pictures = Pictures(path if holds else None, link=not options.copy, flat=kind.flat)
        facts = {"model_id": manifest.model_id, "roots": manifest.roots, "version": __version__}
        target = ExportTarget(path, chosen.names, pictures, splits, options.scores, options.shard_size, facts)
        rows = read_rows(annotations, manifest, chosen, decisions, options, advance)
        with _looked_at(kind, target) if options.dry_run else kind.open(target) as add:
            for row in rows:
                if add(row):
                    _count(summary, row, splits)
        summary.missing, summary.named, summary.left_out = pictures.missing, pictures.named, target.dropped
        if holds:
            write_json(path / MARK, summary)
    return summary


def _count(summary: ExportSummary, row: ExportRow, splits: Sequence[str]) -> None:
    summary.images += 1
    summary.labels += len(row.labels)
    summary.decided += sum(each.is_decided for each in row.labels)
    summary.denied += len(row.denied)
    if splits:
        summary.splits[row.split] = summary.splits.get(row.split, 0) + 1


def _check(kind: ExportFormat, out: Path, options: ExportOptions) -> None:
    """Check what can be said before anything is read.

    Raises:
        UsageError: the options or the name of the output do not fit.
    """
    if options.shares and not kind.has_splits:
        raise UsageError(f"--split: {kind.name} has no splits; export without, or in another format")
    if options.copy and not kind.holds_pictures:
        raise UsageError(f"--copy: {kind.name} holds no photographs, only their labels")
    if not kind.holds_pictures and out.suffix.lower() != kind.suffix:
        raise UsageError(f"{out}: {kind.name} is a file, name one that ends in {kind.suffix}")
    if not os.path.lexists(out):
        return
    if not options.overwrite:
        raise UsageError(f"{out} exists; name another output, or replace it with --overwrite")
    if kind.holds_pictures != out.is_dir():
        raise UsageError(
            f"{out} is a {'folder' if out.is_dir() else 'file'}, and {kind.name} is not; name another output"
        )
    refuse_ledger(out)
    if kind.holds_pictures and not (out / MARK).is_file():
        raise UsageError(f"{out} was not written by `aaam-pipe export`, and is never replaced; name another output")


@contextmanager
def _written(kind: ExportFormat, out: Path, dry_run: bool) -> Iterator[Path]:
    """Yield where to write; what was written there gets its name when the block ends without an error, else it goes."""
    if dry_run:
        yield out
        return
    with exclusive(out):
        work = work_folder(out) if kind.holds_pictures else out.with_name(f".{out.name}{PARTIAL}")
        try:
            yield work
            if kind.holds_pictures:
                publish(work, out)
            else:
                _sync(work)
                work.replace(out)
        except BaseException:
            with suppress(OSError):
                shutil.rmtree(work) if kind.holds_pictures else work.unlink()
            raise


@contextmanager
def _looked_at(kind: ExportFormat, target: ExportTarget) -> Iterator[Add]:
    """Take rows and write nothing: only photographs that a format holds are looked for."""

    def add(row: ExportRow) -> bool:
        if kind.needs_label and not row.labels:
            return target.drop(WITHOUT_LABEL)
        return not kind.holds_pictures or target.pictures.find(row) is not None

    yield add


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
