"""Sidecars as if we had never been there: what we wrote is taken out, and those that we made are removed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.core.artifacts import path_text, real_path
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.exchange.embedding.packet_writer import is_full, said
from aaam_pipeline.exchange.keywords import Note, files
from aaam_pipeline.exchange.keywords.photographs import photographs, rows_of
from aaam_pipeline.exchange.keywords.places import Finder, below, is_litter, mirrored
from aaam_pipeline.exchange.keywords.sidecars import TRIES, Change, deletions, is_left_empty, parsed
from aaam_pipeline.exchange.keywords.writing import Failed, Summary, Told
from aaam_pipeline.formats import xmp
from aaam_pipeline.formats.decisions import resolve
from aaam_pipeline.formats.parts import find_manifest, is_without_manifest, read_annotations_manifest
from aaam_pipeline.formats.xmp import XmpError
from aaam_pipeline.imaging.sidecar_names import SUFFIX


class Target(NamedTuple):
    """A sidecar, what it is called in messages, and the content of its photograph, where that is known."""

    sidecar: Path
    name: str
    sha256: str = ""


def undo(
    paths: Sequence[Path],
    finder: Finder,
    note: Note,
    at: str,
    report: Reporter,
    told: Told,
    failed: Failed,
    *,
    dry_run: bool,
) -> Summary:
    """Take what we wrote out of sidecars: of the photographs of annotations, or all in folders.

    A keyword of ours that somebody has removed goes to the ledger, where the photograph is known: through annotations.

    Raises:
        UsageError: a path is neither.
        IntegrityError: annotations are damaged.
        OSError: there is no room on the disk; every sidecar is whole.
    """
    summary = Summary()
    for path in paths:
        total, targets = _targets(path, finder)
        with report.task("undo", total) as advance:
            for target in targets:
                summary.photographs += 1
                try:
                    change = _undone(target, note, at, dry_run)
                except (XmpError, OSError) as error:
                    if is_full(error):
                        raise
                    why = said(error)
                    summary.failures[why] += 1
                    failed(target.name, why)
                    advance(1, 1)
                    continue
                summary.count([change] if change else [])
                if change:
                    told(target.name, change)
                advance(1)
    return summary


def roots_of(paths: Sequence[Path]) -> list[Path]:
    """Return the folders below which photographs lie: of annotations those of their rows, else the paths themselves.

    Raises:
        IntegrityError: annotations are damaged.
    """
    found: list[Path] = []
    for path in paths:
        if find_manifest(path).is_file() or is_without_manifest(path):
            roots = read_annotations_manifest(path).roots
            found += [real_path(Path(located(root, path))) for root in roots if "://" not in root]
        else:
            found.append(path.absolute())
    # files are known by where they are, whatever links lead to them
    return [*found, *(root.resolve() for root in found)]


def _targets(path: Path, finder: Finder) -> tuple[int, Iterator[Target]]:
    """Return how many sidecars there are, as far as it is known, and these."""
    if path.is_file() and path.name.lower().endswith(SUFFIX):
        return 1, iter([Target(path, path_text(path))])
    if find_manifest(path).is_file() or is_without_manifest(path):
        return read_annotations_manifest(path).successes, _of_annotations(path, finder)
    if not path.is_dir():
        raise UsageError(f"{path_text(path)} is no folder of annotations or photographs, and no sidecar")
    return 0, (Target(each, path_text(each)) for each in below(path))


def _of_annotations(folder: Path, finder: Finder) -> Iterator[Target]:
    rows = rows_of(folder, read_annotations_manifest(folder))
    for photograph in photographs(folder, rows, resolve([]), None):
        if photograph.file is None or is_litter(photograph.path):
            continue
        found = finder.beside(photograph.file).existing if photograph.file.parent.is_dir() else []
        if finder.mirror is not None:
            names = {photograph.file.name + SUFFIX, photograph.file.stem + SUFFIX}
            copies = (mirrored(photograph.file.with_name(name), finder.mirror) for name in sorted(names))
            found = [*found, *(each for each in copies if each.is_file())]
        yield from (Target(each, photograph.path, photograph.sha256) for each in found)


def _undone(target: Target, note: Note, at: str, dry_run: bool) -> Change | None:
    """Take what we wrote out of a sidecar; return what was done, None: there was nothing of ours.

    Raises:
        XmpError, OSError: it cannot be read or written; it is as it was.
    """
    path = target.sidecar.resolve()
    for _ in range(TRIES):
        before = files.read(path)
        packet = parsed(path, before) if before else None
        if packet is None or not (ours := packet.ours()):
            return None
        after = xmp.without_ours(packet)
        is_empty = is_left_empty(packet, after)
        gone = xmp.deleted_since(packet)
        words = [each.value for each in gone]
        taken = [each.value for each in ours if each.kind == "keyword" and not each.state and each.value not in words]
        change = Change(target.sidecar, "remove" if is_empty else "update", [], taken, words, [])
        if dry_run:
            return change
        note(deletions(target.sha256, gone, at) if target.sha256 else [])
        with files.locked(path):
            if files.read(path) == before:
                if is_empty:
                    path.unlink(missing_ok=True)
                else:
                    files.replace(path, after.to_bytes(), path.stat())
                return change
    raise files.BusyError("another program changes the sidecar all the time")
