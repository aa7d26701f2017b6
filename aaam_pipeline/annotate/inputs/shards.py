"""WebDataset shards and other uncompressed tars: the images in them, found by reading the headers only."""

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from aaam_pipeline.annotate.inputs import remote
from aaam_pipeline.annotate.inputs.base import COMPRESSED_TARS, InputItem, NameFilter, is_url, valid_mtime
from aaam_pipeline.annotate.options import Selection
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import AaamError, ImageError, UsageError

# of a remote tar so much is fetched around each header: more costs bytes, less costs requests for small images
REMOTE_BLOCK = 64 * 1024
# of a local one hardly more than the header
LOCAL_BLOCK = 4096


def refuse_compressed(name: str) -> None:
    """Refuse a tar whose members cannot be read by themselves.

    Raises:
        UsageError: the name is that of a compressed tar.
    """
    if name.lower().endswith(COMPRESSED_TARS):
        raise UsageError(
            f"{path_text(name)} is compressed; decompress it first: images are read from anywhere in a tar"
        )


def members(shard: InputItem, selection: Selection, skipped: Counter[str]) -> Iterator[InputItem]:
    """Yield the images of a tar in its order; count links and sparse files, they are not read.

    If it is damaged or cut off, the images before that point are followed by one item for the tar itself, which
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
    """Yield the headers of a tar; raise where it ends without its end mark, or within a file."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
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


def _is_file(member: tarfile.TarInfo) -> bool:
    """Return whether the member's bytes lie in the tar as they are: those of a link or a sparse file do not."""
    return member.isreg() and not member.issparse()
