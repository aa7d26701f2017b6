"""Stage `prepare`: decode every image once and store what training reads fastest.

Shapes: N images of a split, S side, L labels.

    vocabulary.json              the labels in order
    bad_images.csv               images that could not be decoded or are not there, with the reason; left out, not fatal
    <split>/pixels.npy           uint8 (N, S, S, 3), to be memory-mapped
    <split>/examples.parquet     image_id, path, labels of the rows of pixels.npy; where a label of some image is
                                 unknown also `absent`, the labels that it has not, null where it has no other
    manifest.json                counts, and size and SHA-256 of all other files; checksummed

It is built in `<out>.partial`; `.<out>.journal` beside it says how far it is, so that a stopped run resumes.
"""

import csv
import shutil
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aaam_pipeline.core import artifacts
from aaam_pipeline.core.artifacts import file_sha256, path_text, work_folder
from aaam_pipeline.core.csv_cells import to_cells
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.journal import Journal
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted, gigabytes
from aaam_pipeline.datasets.listing import SPLITS, Example, Listing, checked_listing
from aaam_pipeline.datasets.pixels import BadImage, WrittenRows, WrittenSplit, count_done, write_pixels
from aaam_pipeline.datasets.prepared import FORMAT, PARTIAL, VERSION, PreparedFile, PreparedManifest, SplitInfo
from aaam_pipeline.imaging import Interpolation

# what determines the bytes of pixels.npy: work is resumed only with the same code and libraries
CODE = ("imaging", "datasets/pixels.py")
LIBRARIES = ("pillow", "pi-heif")


def prepare(
    name: str, listing: Listing, out: Path, size: int, report: Reporter, interpolation: Interpolation = "bilinear"
) -> None:
    """Write the data set `name` in prepared form: every image decoded and squashed to `size` x `size` pixels.

    A run that was stopped resumes if it was of the same listing, size, interpolation, code and libraries of decoding.

    Raises:
        DatasetError: the listing has no usable vocabulary or does not fit it, a split holds no usable image, or the
            disk is too small.
        UsageError: another process prepares the same.
    """
    listing = checked_listing(name, listing)
    total = sum(len(listing.splits[split]) for split in SPLITS)
    if listing.note:
        report.info(listing.note)
    with exclusive(out):
        work, journal = _open(listing, out, size, interpolation)
        done = sum(count_done(journal, split) for split in SPLITS)
        _check_space(work, total, done, size, report)
        written: dict[str, WrittenSplit] = {}
        with report.task("prepare", total, done) as advance:
            for split in SPLITS:
                examples, path = listing.splits[split], work / split / "pixels.npy"
                written[split] = write_pixels(examples, path, size, journal, advance, interpolation)
                _write_examples(written[split].good, work / split / "examples.parquet")
        _write_rest(listing, written, work, size)
        bad = sum(len(each.bad) for each in written.values())
        if bad:
            left_out = f"{counted(bad, 'image')} that cannot be decoded"
            report.info(f"prepare: left out {left_out}, see {out / 'bad_images.csv'}")
        # before the folders are exchanged: a run that is killed in between must not resume in the old one
        artifacts.sync(work)
        journal.close()
        artifacts.publish(work, out)


def _open(listing: Listing, out: Path, size: int, interpolation: Interpolation) -> tuple[Path, Journal[WrittenRows]]:
    """Return the work folder and the journal, as the last run left them if it was of the very same work."""
    splits = [[_said(example) for example in listing.splits[split]] for split in SPLITS]
    identity = artifacts.fingerprint(
        {
            "listing": [listing.labels, *splits],
            "size": [size, interpolation],
            "libraries": [_version(name) for name in LIBRARIES],
            "code": artifacts.sources_fingerprint(CODE),
        }
    )
    path = out.with_name(f".{out.name}.journal")
    work = work_folder(out, resume=True)
    journal = Journal.resume(path, identity, WrittenRows)
    if journal is None or not all((work / rows.split / "pixels.npy").is_file() for rows in journal.entries):
        return work_folder(out), Journal.begin(path, identity)
    # files that are written at the end may be incomplete
    for left in [each for each in work.rglob("*") if each.is_file() and each.name != "pixels.npy"]:
        left.unlink()
    return work, journal


def _said(example: Example) -> list[Any]:
    said = [example.image_id, path_text(example.path), example.labels]
    return said if example.absent is None else [*said, example.absent]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _check_space(work: Path, total: int, done: int, size: int, report: Reporter) -> None:
    needed, free = (total - done) * size * size * 3, shutil.disk_usage(work).free
    resumed = f", resumed after {done:,}" if done else ""
    images = counted(total, "image", ",")
    report.info(f"prepare: {images}{resumed}; {gigabytes(needed)} to write, {gigabytes(free)} are free")
    if needed > free:
        raise DatasetError(
            f"{work.parent} has too little room: {gigabytes(needed)} are needed, and {gigabytes(free)} are free; make "
            "room, then run the same command again"
        )


def _write_examples(good: list[Example], path: Path) -> None:
    columns = {
        "image_id": pa.array([example.image_id for example in good], pa.string()),
        "path": pa.array([path_text(example.path) for example in good], pa.string()),
        "labels": pa.array([example.labels for example in good], pa.list_(pa.string())),
    }
    if _partial(good):
        columns["absent"] = pa.array([example.absent for example in good], pa.list_(pa.string()))
    pq.write_table(pa.table(columns), path)


def _partial(examples: Iterable[Example]) -> bool:
    return any(example.absent is not None for example in examples)


def _write_rest(listing: Listing, written: dict[str, WrittenSplit], work: Path, size: int) -> None:
    """Write the vocabulary, the bad images, and the manifest with the hash of every file."""
    artifacts.write_json(work / "vocabulary.json", {"labels": listing.labels})
    missing = (BadImage(image_id, "", "missing", "not in this copy") for image_id in listing.missing)
    with (work / "bad_images.csv").open("w", newline="", encoding="utf8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image_id", "path", "error_type", "error_message"])
        rows.writerows(map(to_cells, [*(bad for each in written.values() for bad in each.bad), *missing]))
    known = {work / split / "pixels.npy": each.sha256 for split, each in written.items()}
    files = {
        path.relative_to(work).as_posix(): PreparedFile(path.stat().st_size, known.get(path) or file_sha256(path))
        for path in sorted(work.rglob("*"))
        if path.is_file()
    }
    splits = {split: _info(each.good, len(each.bad)) for split, each in written.items()}
    form = PARTIAL if any(_partial(each.good) for each in written.values()) else VERSION
    manifest = PreparedManifest(FORMAT, form, size, len(listing.labels), len(listing.missing), splits, files)
    artifacts.write_checksummed(work / "manifest.json", manifest)


def _info(good: Iterable[Example], bad: int) -> SplitInfo:
    counts = [len(example.labels) for example in good]
    return SplitInfo(len(counts), bad, float(np.mean(counts)), min(counts), max(counts))
