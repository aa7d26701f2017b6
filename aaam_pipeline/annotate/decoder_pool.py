"""A pool of decoding processes that survives their crashes.

A process that crashes or hangs fails its own image only: the process is started anew, and what was queued behind that
image is decoded there. Each process has a thread here that feeds it and waits for its answers.
"""

import logging
import mmap
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from queue import Empty, SimpleQueue
from typing import IO, NamedTuple, Self

import msgspec
import numpy as np

from aaam_pipeline.annotate.decoder import DecodeSetup
from aaam_pipeline.annotate.inputs import InputItem, is_url
from aaam_pipeline.annotate.reader import ReadImage
from aaam_pipeline.core.errors import AaamError, ImageError
from aaam_pipeline.core.logging import debugging
from aaam_pipeline.imaging.resizing import DecodedImage

log = logging.getLogger(__name__)

# sent ahead to one process: the next file is fetched while one is decoded; URLs need many under way
AHEAD_LOCAL, AHEAD_REMOTE = 2, 16
START_SECONDS = 120.0
# NumPy would start a thread a core in each of them, for nothing
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PROGRAM = "aaam_pipeline.annotate.decoder"


class DecodeTask(NamedTuple):
    """An input on its way, and the future of its image."""

    item: InputItem
    image: Future[ReadImage]


class DecoderPool:
    """A pool of decoding processes; a context manager. `read` may be called again, after the one before is through."""

    def __init__(self, setup: DecodeSetup, workers: int, timeout: float, program: str = PROGRAM) -> None:
        """Use `workers` processes; `timeout`: seconds after which an image is given up. Tests name other programs."""
        self._setup, self._timeout, self._program = setup, timeout, program
        self._tasks: SimpleQueue[DecodeTask | None] = SimpleQueue()
        self._processes: list[_Process | None] = [None] * workers
        self._threads = [threading.Thread(target=self._serve, args=(number,), daemon=True) for number in range(workers)]
        self._closed = False

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        for process in self._processes:
            if process:
                # its thread hears of it and closes the pipe
                process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        # nobody is left to answer whoever still waits, in another thread
        while not self._tasks.empty():
            if task := self._tasks.get():
                task.image.cancel()

    def read(self, items: Iterable[InputItem], ahead: int) -> Iterator[ReadImage]:
        """Yield one `ReadImage` for every item, in order; about `ahead` are decoded and waiting.

        Raises:
            AaamError: decoding processes cannot be started.
        """
        remaining = iter(items)
        pending: deque[Future[ReadImage]] = deque()
        enough = 1
        while True:
            while len(pending) < enough and (item := next(remaining, None)):
                task = DecodeTask(item, Future())
                self._tasks.put(task)
                pending.append(task.image)
                enough = ahead + len(self._threads) * _ahead(item)
            if not pending:
                return
            yield pending.popleft().result()

    def _serve(self, number: int) -> None:
        """Keep one process at work until the pool is closed."""
        waiting: deque[DecodeTask] = deque()
        try:
            self._serve_tasks(number, waiting)
        except Exception as error:
            # whoever waits for an image must hear of it, also of those that are still to come
            for task in waiting:
                task.image.set_exception(error)
            while coming := self._tasks.get():
                coming.image.set_exception(error)
        finally:
            self._end(number)
            for task in waiting:
                task.image.cancel()

    def _serve_tasks(self, number: int, waiting: "deque[DecodeTask]") -> None:
        suspect = False
        while self._take(waiting):
            process = self._processes[number]
            if process is None:
                process = self._processes[number] = _Process(self._setup, self._program)
                if self._closed:
                    # whoever closes the pool may have looked for processes just before
                    return
                process.wait_until_ready()
                log.debug("decoding process %d is ready", number)
            try:
                # an image that a process died of is tried again with nothing behind it
                process.send([task.item for task in (islice(waiting, 1) if suspect else waiting)])
                image = process.receive(self._timeout)
            except TimeoutError:
                log.warning("decoding process %d is restarted: no answer to %s", number, waiting[0].item.location)
                self._end(number)
                image = _failed(waiting, "timeout", f"not read and decoded within {self._timeout:g} seconds")
            except (EOFError, OSError):
                log.warning("decoding process %d is restarted: it ended at %s", number, waiting[0].item.location)
                self._end(number)
                if not suspect:
                    # killed from outside, perhaps: it is the image's fault when it happens twice
                    suspect = True
                    continue
                image = _failed(waiting, "decoder_crashed", "the decoder crashed on it")
            waiting.popleft().image.set_result(image)
            suspect = False

    def _end(self, number: int) -> None:
        """End a process; the next task will start another one."""
        if process := self._processes[number]:
            self._processes[number] = None
            process.kill()
            process.close()

    def _take(self, waiting: "deque[DecodeTask]") -> bool:
        """Take tasks as far as one process can use them, waiting for the first; return whether there is any."""
        while not self._closed:
            if waiting and len(waiting) >= _ahead(waiting[-1].item):
                return True
            try:
                task = self._tasks.get(block=not waiting)
            except Empty:
                return True
            if task is not None:
                waiting.append(task)
        return False


class _Process:
    """One decoding process and the pipe to it."""

    def __init__(self, setup: DecodeSetup, program: str) -> None:
        """Start it."""
        ours, theirs = Pipe()
        size = AHEAD_REMOTE * setup.size**2 * 3
        with _shared_memory() as shared:
            shared.truncate(size)
            self._memory = mmap.mmap(shared.fileno(), size)
            command_line = msgspec.structs.replace(
                setup, pipe=theirs.fileno(), memory=shared.fileno(), slots=AHEAD_REMOTE
            )
            self._process = subprocess.Popen(
                # -P: a module of the working directory does not take the place of a library
                [
                    sys.executable,
                    "-P",
                    "-c",
                    f"from {program} import main; main()",
                    msgspec.json.encode(command_line).decode(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # libtiff and others write there what they think of a damaged file
                stderr=None if debugging() else subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), shared.fileno()),
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        theirs.close()
        self._pipe: Connection[InputItem, ReadImage | None] = ours
        self._slots = np.frombuffer(self._memory, np.uint8).reshape(AHEAD_REMOTE, setup.size, setup.size, 3)
        self._sent = self._received = 0

    def wait_until_ready(self) -> None:
        """Wait for its first word.

        Raises:
            AaamError: it does not start.
        """
        try:
            if not self._pipe.poll(START_SECONDS):
                raise TimeoutError
            self._pipe.recv()
        except (EOFError, OSError):
            self.kill()
            code = self._process.wait()
            raise AaamError(f"a decoding process does not start (exit code {code})") from None

    def send(self, items: "list[InputItem]") -> None:
        """Send those of the inputs at work that were not sent yet."""
        for item in items[self._sent - self._received :]:
            self._pipe.send(item)
            self._sent += 1

    def receive(self, timeout: float) -> ReadImage:
        """Return the next image.

        Raises:
            TimeoutError: it takes longer than `timeout` seconds.
            EOFError, OSError: the process died.
        """
        started = time.monotonic()
        while not self._pipe.poll(timeout):
            if time.monotonic() - started < timeout + 1:
                raise TimeoutError
            # everything was stopped meanwhile (Ctrl-Z): that is not the image's fault
            started = time.monotonic()
        image = self._pipe.recv()
        assert image is not None
        if isinstance(image.picture, DecodedImage):
            pixels_SS3 = self._slots[self._received % AHEAD_REMOTE].copy()
            image = image._replace(picture=image.picture._replace(pixels_SS3=pixels_SS3))
        self._received += 1
        return image

    def kill(self) -> None:
        """End it at once; any thread may."""
        self._process.kill()

    def close(self) -> None:
        """Give back what the system lent."""
        self._process.wait()
        self._pipe.close()
        # the array is a view of the memory, which holds a file descriptor
        del self._slots
        self._memory.close()


def _shared_memory() -> IO[bytes]:
    """Return an open file without a name, in memory where the system can (not /dev/shm: containers keep that small)."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("aaam-pixels"), "r+b")
    return tempfile.TemporaryFile()


def _ahead(item: InputItem) -> int:
    """Return how many images like this one a process is given at once."""
    return AHEAD_REMOTE if is_url(item.location) else AHEAD_LOCAL


def _failed(waiting: "deque[DecodeTask]", kind: str, message: str) -> ReadImage:
    item = waiting[0].item
    return ReadImage(item, None, item.bytes, item.mtime, ImageError(kind, message))
