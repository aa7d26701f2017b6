"""A file with another packet: made beside the old one, checked, and put in its place in one step."""

import hashlib
import mmap
import os
import shutil
import stat
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, get_args

from aaam_pipeline.core.artifacts import PARTIAL
from aaam_pipeline.formats import packets
from aaam_pipeline.formats.packets import Bytes, FileContent, PacketError, Splice
from aaam_pipeline.imaging import formats, tiff
from aaam_pipeline.imaging.sidecar_names import RAW

Force = Literal["signed", "trailing", "links"]
FORCES: tuple[Force, ...] = get_args(Force)
EMBEDDABLE = ("jpeg", "png", "webp", "tiff")


class NewFile(NamedTuple):
    """A file that is ready to take another one's place.

    `target`: the file itself, whatever links lead to it; `made`: the new one beside it; `before`, `after`: SHA-256 of
    both; `back`: what turns the new one into the old one; `status`: of the old one when it was read.
    """

    target: Path
    made: Path
    before: str
    after: str
    back: list[Splice]
    status: os.stat_result


def check(path: Path, force: Collection[Force] = ()) -> Path:
    """Return the file behind a name, if a packet may be written into it at all.

    Raises:
        PacketError: it is a raw file or of another format, read-only, or has several names.
        OSError: it is not there, or cannot be read.
    """
    target = path.resolve(strict=True)
    status = target.stat()
    if not stat.S_ISREG(status.st_mode):
        raise PacketError("unsupported", "it is no file")
    with target.open("rb", buffering=0) as stream:
        kind = formats.identify(stream.read(formats.BEGINNING))
        if target.suffix.lower() in RAW or _is_raw(kind, stream):
            raise PacketError("raw", "a raw file, which is never changed")
    if kind not in [formats.FORMATS[key] for key in EMBEDDABLE]:
        raise PacketError(
            "unsupported", f"{kind.name if kind else 'no picture that is known'}: keywords are not embedded"
        )
    # who may write to the folder could replace the file nevertheless
    if not status.st_mode & 0o222 or not os.access(target, os.W_OK):
        raise PacketError("read_only", "the file is read-only")
    if status.st_nlink > 1 and "links" not in force:
        raise PacketError(
            "links", f"the file has {status.st_nlink} names (hard links), and the others would not follow"
        )
    return target


def _is_raw(kind: formats.ImageFormat | None, stream: BinaryIO) -> bool:
    if kind is not None and "raw file" in kind.name:
        return True
    if kind is not formats.FORMATS["tiff"]:
        return False
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return bool(tiff.raw_kind(content))  # type: ignore[arg-type]


def partial_of(target: Path) -> Path:
    """Return the name under which a new file is made: hidden, in the same folder."""
    return target.with_name(f".{target.name}{PARTIAL}")


def with_packet(target: Path, xmp: bytes, force: Collection[Force] = ()) -> NewFile | None:
    """Make a file beside `target` that holds another packet, and check it; None: it holds that packet already.

    Raises:
        PacketError: the file is damaged, or would be harmed.
        OSError: it cannot be read, or nothing can be written there.
    """
    with target.open("rb", buffering=0) as stream:
        status, content = os.fstat(stream.fileno()), FileContent(stream)
        splices = packets.replaced(content, xmp, force)
        if all(content[each.at : each.at + each.removed] == each.added for each in splices):
            return None
        return _made(target, status, content, splices, xmp)


def would_embed(path: Path, xmp: bytes, force: Collection[Force] = ()) -> None:
    """Do nothing, and raise what putting a packet into a file would raise.

    Raises:
        PacketError, OSError: see `check` and `with_packet`.
    """
    with check(path, force).open("rb", buffering=0) as stream:
        packets.replaced(FileContent(stream), xmp, force)


def spliced(target: Path, splices: Sequence[Splice]) -> NewFile:
    """Make a file beside `target` with changes, and check it; raises what `with_packet` raises."""
    with target.open("rb", buffering=0) as stream:
        status, content = os.fstat(stream.fileno()), FileContent(stream)
        return _made(target, status, content, splices)


def _made(
    target: Path, status: os.stat_result, content: Bytes, splices: Sequence[Splice], xmp: bytes | None = None
) -> NewFile:
    made, back = partial_of(target), packets.inverse(content, splices)
    before, after = sha256(packets.spliced(content, ())), hashlib.sha256()
    try:
        with made.open("wb") as stream:
            for piece in packets.spliced(content, splices):
                after.update(piece)
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        _check_made(made, before, after.hexdigest(), back, xmp)
        _take_over(status, target, made)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    return NewFile(target, made, before, after.hexdigest(), back, status)


def _check_made(made: Path, before: str, after: str, back: Sequence[Splice], xmp: bytes | None) -> None:
    """Check what lies on disk: it is what was written, its packet is found, and the old file can be made of it."""
    with made.open("rb", buffering=0) as stream:
        content = FileContent(stream)
        if sha256(packets.spliced(content, ())) != after or sha256(packets.spliced(content, back)) != before:
            raise PacketError("damaged", "the new file is not what was written; is the disk sound?")
        if xmp is not None:
            packets.segments(content)
            # in room that was there already, there are blanks before its end
            if b"".join((packets.read(content).xmp or b"").split()) != b"".join(xmp.split()):
                raise PacketError("unsupported", "its packet would not be found again")


def sha256(pieces: Iterable[bytes]) -> str:
    """Return the SHA-256 of what pieces make together."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _take_over(status: os.stat_result, target: Path, made: Path) -> None:
    """Give a new file the owner, the permissions and the attributes of the old one."""
    shutil.copystat(target, made)
    with suppress(OSError, AttributeError):
        # what only an administrator may give away
        os.chown(made, status.st_uid, status.st_gid)
        made.chmod(stat.S_IMODE(status.st_mode))


def put_in_place(new: NewFile, mtime_ns: int | None) -> None:
    """Put a new file in the old one's place; `mtime_ns`: the time that it gets, None: now.

    Raises:
        PacketError: the old file has changed since it was read.
        OSError: it cannot be replaced.
    """
    try:
        status = new.target.stat()
        if (status.st_mtime_ns, status.st_size, status.st_ino) != (
            new.status.st_mtime_ns,
            new.status.st_size,
            new.status.st_ino,
        ):
            raise PacketError("changed", "another program has changed it meanwhile")
        now = time.time_ns()
        os.utime(new.made, ns=(now, now) if mtime_ns is None else (new.status.st_atime_ns, mtime_ns))
        new.made.replace(new.target)
    except BaseException:
        new.made.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
