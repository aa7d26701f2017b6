"""What annotations were before they were relabelled: `annotations.undo` beside them, until they are relabelled again.

It is a folder of annotations like any other, and a record of the state that it may replace. Parts that stay as they are
are hard links, so it takes the room of those that change. It is written as `annotations.undo.partial` and renamed when
the new annotations are published; killed in between, it is recognised by its record.
"""

import shutil
from pathlib import Path

import msgspec

from aaam_pipeline.core.artifacts import PARTIAL, file_sha256, publish, read_checksummed, sync, write_checksummed
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.formats.part_files import link_file
from aaam_pipeline.formats.parts import (
    AnnotationsManifest,
    find_manifest,
    find_stats,
    part_path,
    read_annotations_manifest,
    read_stats,
)

RECORD = "_undo.json"


class UndoRecord(msgspec.Struct, frozen=True):
    """`_undo.json`. `after`: the hash of the manifest of the annotations that were made of these."""

    after: str
    hash: str = ""


def undo_folder(folder: Path) -> Path:
    """Return where the earlier labels of annotations are kept."""
    target = folder.resolve()
    return target.with_name(f"{target.name}.undo")


def keep(folder: Path, after: str) -> None:
    """Give all files of annotations a second name, before those whose manifest has the hash `after` replace them."""
    partial = _partial(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for file in _files(folder, read_annotations_manifest(folder)):
        link_file(file, partial / file.name)
    sync(partial)
    write_checksummed(partial / RECORD, UndoRecord(after))


def settle(folder: Path) -> None:
    """Give what was kept its name, where the annotations are those that were made of it; else drop it."""
    partial, final = _partial(folder), undo_folder(folder)
    if not partial.exists():
        return
    if _is_of(partial, folder):
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    else:
        shutil.rmtree(partial)


def forget(folder: Path) -> None:
    """Drop what was kept."""
    for each in (_partial(folder), undo_folder(folder)):
        shutil.rmtree(each, ignore_errors=True)


def room(folder: Path) -> int:
    """Return the bytes that are taken by what was kept alone."""
    kept = undo_folder(folder)
    states = [file.stat() for file in kept.iterdir()] if kept.is_dir() else []
    return sum(state.st_size for state in states if state.st_nlink == 1)


def check(folder: Path) -> AnnotationsManifest:
    """Return the manifest of what would be restored.

    Raises:
        UsageError: there is nothing to restore, or annotate wrote the annotations since.
        IntegrityError: what was kept is damaged.
    """
    kept = next((each for each in (_partial(folder), undo_folder(folder)) if _is_of(each, folder)), None)
    if kept is None and (undo_folder(folder) / RECORD).is_file():
        raise UsageError(
            f"{folder} was written since it was relabelled: to restore it would lose rows. The earlier ones lie in "
            f"{undo_folder(folder)}; aaam-pipe relabel with --threshold or --model changes the labels of all"
        )
    if kept is None:
        raise UsageError(f"{folder}: nothing to undo, no {undo_folder(folder).name} is kept beside it")
    manifest = read_annotations_manifest(kept)
    for number in range(manifest.parts):
        part = part_path(kept, number)
        if not part.is_file() or file_sha256(part) != read_stats(part).sha256:
            raise IntegrityError(f"{part} is missing or damaged: {folder} stays as it is")
    return manifest


def restore(folder: Path, work: Path) -> AnnotationsManifest:
    """Put what was kept in the place of annotations, by way of the empty folder `work`; return its manifest.

    Raises:
        UsageError, IntegrityError: as `check`.
    """
    manifest = check(folder)
    settle(folder)
    for file in _files(undo_folder(folder), manifest):
        link_file(file, work / file.name)
    publish(work, folder)
    forget(folder)
    return manifest


def _partial(folder: Path) -> Path:
    kept = undo_folder(folder)
    return kept.with_name(f"{kept.name}{PARTIAL}")


def _is_of(kept: Path, folder: Path) -> bool:
    try:
        after = read_checksummed(kept / RECORD, UndoRecord, "kept labels").after
        return after == read_annotations_manifest(folder).hash
    except AaamError:
        return False


def _files(folder: Path, manifest: AnnotationsManifest) -> list[Path]:
    parts = [part_path(folder, number) for number in range(manifest.parts)]
    return [*parts, *map(find_stats, parts), find_manifest(folder)]
