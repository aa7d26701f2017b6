"""A decoding process: receives inputs, sends back images.

Image libraries are written in C and read what strangers made: one bad file can crash or hang the process that decodes
it. So decoding is done in processes of its own, started by `decoder_pool`; `main` is what runs in them, and it loads
neither torch nor anything else that is slow.

The parent sends `InputItem`s and gets a `ReadImage` for each, in order. Pixels travel through memory that both share:
the n-th image's are in slot n modulo the number of slots, so at most that many may be under way.
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

import msgspec
import numpy as np

from aaam_pipeline.annotate import reader
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.reader import Content, ReadImage
from aaam_pipeline.imaging import Interpolation
from aaam_pipeline.imaging.resizing import DecodedImage

FETCHING = 16
# the pixels of an image whose own are in shared memory
IN_SLOT = np.empty((0, 0, 3), np.uint8)


class DecodeSetup(msgspec.Struct, frozen=True):
    """A decoding process's command line: decode to `size` x `size` pixels; open files by number."""

    size: int
    max_pixels: int
    accept_truncated: bool = False
    interpolation: Interpolation = "bilinear"
    pipe: int = -1
    memory: int = -1
    slots: int = 0


def main() -> None:
    """Serve until the parent closes the pipe."""
    setup = msgspec.json.decode(sys.argv[1], type=DecodeSetup)
    _die_with_parent()
    # Ctrl-C reaches every process of a terminal: the parent alone decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(setup.pipe)
    memory = mmap.mmap(setup.memory, setup.slots * setup.size**2 * 3)
    slots = np.frombuffer(memory, np.uint8).reshape(setup.slots, setup.size, setup.size, 3)
    pipe.send(None)
    for number, (item, content) in enumerate(_received(pipe)):
        image = reader.decode(
            item, content.result, setup.size, setup.max_pixels, setup.accept_truncated, setup.interpolation
        )
        if isinstance(image.picture, DecodedImage):
            slots[number % setup.slots] = image.picture.pixels_SS3
            image = image._replace(picture=image.picture._replace(pixels_SS3=IN_SLOT))
        pipe.send(image)


def _received(pipe: "Connection[ReadImage | None, InputItem]") -> Iterator[tuple[InputItem, Future[Content]]]:
    """Yield the inputs sent, in order, with their bytes to come; the following ones are fetched meanwhile."""
    coming: SimpleQueue[tuple[InputItem, Future[Content]]] = SimpleQueue()
    pool = ThreadPoolExecutor(FETCHING, thread_name_prefix="fetch")

    def receive() -> None:
        try:
            while True:
                item = pipe.recv()
                coming.put((item, pool.submit(reader.fetch, item)))
        except (EOFError, OSError):
            # nobody waits for what is still being fetched
            os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    while True:
        yield coming.get()


def _die_with_parent() -> None:
    """Ask Linux to end this process with the thread that started it, also when it hangs in a decoder."""
    if sys.platform.startswith("linux"):
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
