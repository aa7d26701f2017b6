"""Reads and decodes images in threads, in order, a bounded number ahead of the model."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from aaam_pipeline.annotate.sources import Source
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.models.preprocess import Decoded, Preprocess


class Image(NamedTuple):
    """An input as read: facts of the file as far as they are known, and the picture or what is wrong with it."""

    source: Source
    sha256: str | None
    bytes: int | None
    mtime: datetime | None
    picture: Decoded | ImageError


def read(sources: Sequence[Source], preprocess: Preprocess, workers: int, ahead: int) -> Iterator[Image]:
    """Yield one `Image` for every source, in order; at most `ahead` are decoded and waiting.

    Threads serve well here: Pillow lets the others run while it decodes. `workers` 0 reads in the caller's thread.
    """
    if workers == 0:
        yield from (read_one(source, preprocess) for source in sources)
        return
    remaining = iter(sources)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        pending: deque[Future[Image]] = deque(
            pool.submit(read_one, source, preprocess) for source in islice(remaining, max(ahead, 1))
        )
        while pending:
            image = pending.popleft().result()
            pending.extend(pool.submit(read_one, source, preprocess) for source in islice(remaining, 1))
            yield image
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_one(source: Source, preprocess: Preprocess) -> Image:
    """Read and decode one file; whatever is wrong with it becomes an `ImageError` in its place."""
    try:
        # a named pipe would be waited for without end
        if not source.file.is_file():
            source.file.stat()
            return Image(source, None, None, None, ImageError("unreadable", "not a regular file"))
        with source.file.open("rb") as stream:
            content = stream.read()
            modified = _modified(os.fstat(stream.fileno()).st_mtime)
    except OSError as error:
        return Image(source, None, None, None, ImageError("unreadable", error.strerror or str(error)))
    digest = hashlib.sha256(content).hexdigest()
    try:
        picture: Decoded | ImageError = preprocess.decode(content)
    except ImageError as error:
        picture = error
    except MemoryError:
        picture = ImageError("too_large", "not enough memory to decode it")
    return Image(source, digest, len(content), modified, picture)


def _modified(timestamp: float) -> datetime | None:
    """Return a modification time; None where the file system's value is no date (a year after 9999)."""
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (ValueError, OverflowError):
        return None
