"""Download a data set's archives one after the other and unpack them, in a folder that outlives a stopped run.

A zip or tar is unpacked safely: only files and folders below the target, no more than announced, each file whole or not
there. What is there already with the right size is not written again: unpacking that was stopped resumes.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from aaam_pipeline.core.artifacts import PARTIAL, write_json
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import gigabytes
from aaam_pipeline.datasets.fetching.archives import Archive
from aaam_pipeline.datasets.fetching.transfer import announced_size, fetch

MB = 10**6
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError)


class _Member(NamedTuple):
    name: str
    size: int
    content: IO[bytes]


def cache(dataset: str) -> Path:
    """Return the folder into which a data set is downloaded: not one that DVC deletes, or copies into its cache."""
    return HERE.work("download", dataset)


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
        f"{dataset}: downloads {gigabytes(sum(sizes) - there)} into {folder.absolute()}, which takes up to "
        f"{gigabytes(peak)} while it is unpacked; {gigabytes(free)} are free"
    )
    if peak - there > free:
        shortage = f"{gigabytes(peak - there)} are needed in {folder}, and {gigabytes(free)} are free"
        raise DatasetError(f"{dataset}: {shortage}; make room, or make .aaam a link to a larger disk")


def unpack(archive: Path, into: Path, members: Sequence[str], largest: int, report: Reporter) -> None:
    """Unpack an archive's files whose path, or a later part of it, begins with one of `members`; all if there is none.

    Raises:
        DatasetError: it is no zip or tar, is damaged, would write outside of `into`, holds a link or a device, unpacks
            to more than `largest` bytes, does not fit on the disk, or holds nothing of what is wanted.
    """
    total = count = 0
    into.mkdir(parents=True, exist_ok=True)
    try:
        with report.task(f"unpack {archive.name} (MB)", _size(archive, members) // MB) as advance:
            for member in _members(archive, members):
                total += member.size
                count += 1
                if total > largest:
                    raise DatasetError(f"{archive} is not what it should be: it unpacks to more than {largest:,} bytes")
                _write(member, into, archive)
                advance(total // MB - (total - member.size) // MB)
    except _DAMAGE as error:
        fault = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{archive} is damaged ({fault}); delete it and give the same command again") from None
    if not count:
        raise DatasetError(f"{archive} is not what it should be: it has nothing named {' or '.join(members) or '...'}")


def _size(archive: Path, members: Sequence[str]) -> int:
    """Return what a zip unpacks to, which has a directory, and about that of a tar, which has none."""
    if not zipfile.is_zipfile(archive):
        return archive.stat().st_size
    with zipfile.ZipFile(archive) as opened:
        return sum(info.file_size for info in opened.infolist() if _is_wanted(info.filename, members))


def _members(archive: Path, wanted: Sequence[str]) -> Iterator[_Member]:
    """Yield the files of a zip or tar, each one's content readable until the next is asked for."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir() and _is_wanted(info.filename, wanted):
                    _check(archive, info.filename, stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG))
                    with opened.open(info) as content:
                        yield _Member(info.filename, info.file_size, content)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            for entry in tar:
                if not entry.isdir() and _is_wanted(entry.name, wanted):
                    _check(archive, entry.name, entry.isreg())
                    file = tar.extractfile(entry)
                    assert file
                    yield _Member(entry.name, entry.size, file)
    else:
        raise DatasetError(f"{archive} is neither a zip nor a tar")


def _check(archive: Path, name: str, harmless: bool) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name.split("/")[0] or "\0" in name:
        raise DatasetError(f"{archive} is not safe to unpack: {name!r} leads out of its folder")
    if not harmless:
        raise DatasetError(f"{archive} is not safe to unpack: {name!r} is a link or a device")


def _is_wanted(name: str, wanted: Sequence[str]) -> bool:
    parts = PurePosixPath(name).parts
    tails = ["/".join(parts[first:]) for first in range(len(parts))]
    return not wanted or any(tail.startswith(tuple(wanted)) for tail in tails)


def _write(member: _Member, into: Path, archive: Path) -> None:
    path = into / member.name
    if path.is_file() and path.stat().st_size == member.size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    with partial.open("wb") as stream:
        shutil.copyfileobj(member.content, stream, 1 << 20)
    if partial.stat().st_size != member.size:
        raise DatasetError(f"{archive} is damaged: {member.name} ends after {partial.stat().st_size:,} bytes")
    partial.replace(path)
