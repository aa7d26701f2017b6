"""Download a data set's archives one after the other and unpack them, in a folder that outlives a stopped run."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from aaam_pipeline.core.artifacts import write_json
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets.fetching.archives import Archive
from aaam_pipeline.datasets.fetching.transfer import announced_size, fetch
from aaam_pipeline.datasets.fetching.unpack import unpack


def cache(dataset: str) -> Path:
    """Return the folder into which a data set is downloaded: not one that DVC deletes, or copies into its cache."""
    return HERE.work("download", dataset).absolute()


def obtain(dataset: str, archives: Sequence[Archive], mirror: str | None, report: Reporter) -> Path:
    """Download and unpack what is not there yet; return the folder. Archives are deleted once they are unpacked.

    Raises:
        DatasetError: the disk is too small, no address has a file, or a file is not what it should be.
        UsageError: another process does the same.
    """
    folder = cache(dataset)
    with exclusive(folder):
        left = [archive for archive in archives if not _mark(folder, archive).exists()]
        if left:
            _check_space(dataset, folder, left, mirror, report)
        for archive in left:
            path = folder / archive.name
            known = archive.bytes if archive.exact else None
            try:
                fetch(path, archive.addresses(mirror), known, archive.md5, report)
            except DatasetError as error:
                raise DatasetError(
                    f"{error}; try again, or set {dataset}.data.mirror, or {dataset}.data.root to a copy"
                ) from None
            unpack(path, folder, archive.members, archive.unpacked, report)
            write_json(_mark(folder, archive), {"unpacked": archive.name})
            path.unlink()
    return folder


def _mark(folder: Path, archive: Archive) -> Path:
    return folder / f".{archive.name}.json"


def _check_space(dataset: str, folder: Path, left: Sequence[Archive], mirror: str | None, report: Reporter) -> None:
    """Report the size of the download and the space it needs; refuse to begin where there is too little."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [
        archive.bytes if archive.exact else announced_size(archive.addresses(mirror)) or archive.bytes
        for archive in left
    ]
    unpacked = [min(archive.unpacked, 4 * size) for archive, size in zip(left, sizes, strict=True)]
    # an archive is deleted once it is unpacked: at most one is on disk beside the files unpacked so far
    peak = max(sum(unpacked[: index + 1]) + size for index, size in enumerate(sizes))
    there = sum(path.stat().st_size for path in folder.glob("*.part"))
    free = shutil.disk_usage(folder).free
    report.info(
        f"{dataset}: downloads {gigabytes(sum(sizes) - there)} into {folder}, which takes up to {gigabytes(peak)} "
        f"while it is unpacked; {gigabytes(free)} are free"
    )
    if peak - there > free:
        shortage = f"{gigabytes(peak - there)} are needed in {folder}, and {gigabytes(free)} are free"
        raise DatasetError(f"{dataset}: {shortage}; make room, or make .aaam a link to a larger disk")


def gigabytes(bytes: int) -> str:
    """Return a size for people."""
    return f"{bytes / 1e9:,.1f} GB" if bytes >= 10**8 else f"{max(bytes, 0) / 1e6:,.1f} MB"
