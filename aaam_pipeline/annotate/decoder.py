"""A decoding process: takes sources, answers with facts and pixels.

Image libraries are written in C and read what strangers made: one bad file can crash or hang the process that decodes
it. So decoding is done in processes of its own, started by `decoders`; `main` is what runs in them, and it loads
neither torch nor anything else that is slow.

The parent sends `Source`s and gets an `Answer` for each, in order. Pixels travel through memory that both share: the
n-th answer's are in slot n modulo the number of slots, so at most that many may be under way.
"""

import ctypes
import mmap
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import NamedTuple

import msgspec
import numpy as np

from aaam_pipeline.annotate import reader
from aaam_pipeline.annotate.fetch import Content
from aaam_pipeline.annotate.sources import Source
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.exif import Taken
from aaam_pipeline.models.preprocess import Preprocess

FETCHING = 16


class Setup(msgspec.Struct, frozen=True):
    """What a decoding process is told on its command line: open files by number, and how to decode."""

    preprocess: Preprocess
    max_pixels: int
    pipe: int = -1
    memory: int = -1
    slots: int = 0


class Answer(NamedTuple):
    """What is known of an image but its pixels; `error` is (kind, message) where there are none."""

    sha256: str | None
    bytes: int | None
    mtime: int | None
    width: int
    height: int
    taken: Taken | None
    error: tuple[str, str] | None


def main() -> None:
    """Serve until the parent closes the pipe."""
    setup = msgspec.json.decode(sys.argv[1], type=Setup)
    _die_with_parent()
    # Ctrl-C reaches every process of a terminal: the parent alone decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(setup.pipe)
    side = setup.preprocess.size
    memory = mmap.mmap(setup.memory, setup.slots * side * side * 3)
    slots = np.frombuffer(memory, np.uint8).reshape(setup.slots, side, side, 3)
    pipe.send(None)
    for number, (source, content) in enumerate(_fetched(pipe)):
        image = reader.decode(source, content, setup.preprocess, setup.max_pixels)
        seen: tuple[int, int, Taken | None] = (0, 0, None)
        error = None
        if isinstance(image.picture, ImageError):
            error = (image.picture.kind, str(image.picture))
        else:
            slots[number % setup.slots] = image.picture.pixels_SS3
            seen = image.picture[1:]
        pipe.send(Answer(image.sha256, image.bytes, image.mtime, *seen, error))


def _fetched(pipe: "Connection[Answer | None, Source]") -> Iterator[tuple[Source, Content | ImageError]]:
    """Yield the sources sent, in order, with their bytes; the following ones are fetched meanwhile."""
    coming: SimpleQueue[tuple[Source, Future[Content | ImageError]] | None] = SimpleQueue()
    pool = ThreadPoolExecutor(FETCHING, thread_name_prefix="fetch")

    def receive() -> None:
        try:
            while True:
                source = pipe.recv()
                coming.put((source, pool.submit(reader.fetched, source)))
        except (EOFError, OSError):
            # nobody waits for what is still being fetched
            os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    while (item := coming.get()) is not None:
        source, content = item
        yield source, content.result()


def _die_with_parent() -> None:
    """Ask Linux to end this process with the thread that started it, also when it hangs in a decoder."""
    if sys.platform.startswith("linux"):
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
