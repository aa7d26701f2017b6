"""WebDataset shards and other uncompressed tars: the images in them, found by reading the headers only."""

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from typing import BinaryIO

from aaam_pipeline.annotate.inputs import remote
from aaam_pipeline.annotate.inputs.base import InputItem, NameFilter, is_url, valid_mtime
from aaam_pipeline.annotate.options import Selection
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import AaamError, ImageError, UsageError

# of a remote tar so much is fetched around each header: more costs bytes, less costs requests for small images
REMOTE_BLOCK = 64 * 1024
# of a local one hardly more than the header
LOCAL_BLOCK = 4096
# of what follows the end of a tar so much is looked through at once
PADDING = 64 * 1024
COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.lz4")
OTHER_ARCHIVES = (".zip", ".7z", ".rar")


# how files begin that are taken for tars
SIGNATURES = {
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\0": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\x04\x22\x4d\x18": "compressed by lz4",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
}


def refuse_compressed(name: str) -> None:
    """Refuse an archive whose members cannot be read by themselves.

    Raises:
        UsageError: the name is that of a compressed tar, or of another archive.
    """
    small = name.lower()
    if small.endswith(COMPRESSED_TARS):
        raise UsageError(
            f"{path_text(name)} is compressed; decompress it first: images are read from anywhere in a tar"
        )
    if small.endswith(OTHER_ARCHIVES):
        raise UsageError(f"{path_text(name)} is an archive that is not read; unpack it first, or make a tar of it")


def fault(location: str, end: int) -> str:
    """Return what is wrong with a tar of which nothing could be read from the byte `end` on."""
    if end == 0:
        with suppress(ImageError, OSError), remote.stream(location, LOCAL_BLOCK) as stream:
            head = stream.read(tarfile.BLOCKSIZE)
            known = next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), "")
            if known:
                return f"no tar but {known}, whatever its name; decompress or unpack it first"
            if not head:
                return "an empty file, no tar"
            if len(head) == tarfile.BLOCKSIZE and not _begins_a_tar(head):
                return "no tar, or a damaged tar: it does not begin as one"
    return f"damaged tar, cut off, or followed by something else: no image was found after byte {end}"


def _begins_a_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def members(shard: InputItem, selection: Selection, skipped: Counter[str]) -> Iterator[InputItem]:
    """Yield the images of a tar in its order; count links and sparse files, they are not read.

    Tars written one behind the other (`cat a.tar b.tar`) are read to the last. If it is damaged or cut off, or holds
    something else behind its end, the images before that point are followed by one item for the tar itself, which
    fails when it is read: so the loss has a row. An end without an end mark counts as cut off.

    Raises:
        UsageError: the server does not give it.
    """
    wanted = NameFilter(selection._replace(recursive=True))
    end = 0
    try:
        with _open(shard.location) as stream:
            for member in _headers(stream):
                end = max(end, member.offset_data + member.size if _is_file(member) else 0)
                path = path_text(member.name.removeprefix("./").lstrip("/"))
                if member.isdir():
                    continue
                if refused := wanted.refuses(path) or ("" if _is_file(member) else "link or sparse file in a tar"):
                    skipped[refused] += 1
                    continue
                facts = member.size, valid_mtime(int(member.mtime * 1_000_000))
                yield InputItem(shard.location, shard.root, f"{shard.path}/{path}", *facts, member.offset_data)
    except UsageError:
        raise
    # whatever damaged headers make tarfile raise
    except (tarfile.TarError, AaamError, OSError, ValueError, OverflowError, EOFError):
        yield InputItem(shard.location, shard.root, shard.path, None, None, end)


def _open(location: str) -> AbstractContextManager[BinaryIO]:
    try:
        return remote.stream(location, REMOTE_BLOCK if is_url(location) else LOCAL_BLOCK)
    except ImageError as error:
        raise UsageError(f"cannot read {path_text(location)}: {error}") from None


def _headers(stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tar, and of those behind it.

    Raises:
        tarfile.TarError: it ends without its end mark, or within a file, or what follows is no tar.
    """
    size = stream.seek(0, io.SEEK_END)
    start: int | None = 0
    while start is not None:
        stream.seek(start)
        with tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8", errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                # it would keep them all
                tar.members.clear()  # type: ignore[attr-defined]
                if _is_file(member) and member.offset_data + member.size > size:
                    raise tarfile.ReadError("cut off")
                yield member
            # tarfile takes a damaged header for the end
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("no end mark")
        start = _next_block(stream)


def _next_block(stream: BinaryIO) -> int | None:
    """Return where the next block begins that is not of zeros, None if there is none."""
    while chunk := stream.read(PADDING):
        if left := len(chunk.lstrip(b"\0")):
            at = stream.tell() - left
            return at - at % tarfile.BLOCKSIZE
    return None


def _is_file(member: tarfile.TarInfo) -> bool:
    """Return whether the member's bytes lie in the tar as they are: those of a link or a sparse file do not."""
    return member.isreg() and not member.issparse()
