"""What tests of decoding processes share: pictures of noise, files that misbehave, looks at what is left behind."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from aaam_pipeline.annotate import inputs, reader
from aaam_pipeline.annotate.decoder import DecodeSetup
from aaam_pipeline.annotate.decoder_pool import DecoderPool
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.reader import ReadImage
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import MAX_PIXELS

SIZE = 32
SETUP = DecodeSetup(SIZE, MAX_PIXELS)
EVIL = "evil_decoder"


def write_noise(folder: Path) -> Path:
    """Write 40 pictures of 32 x 32, each of other noise: decoding changes no pixel of them."""
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:02d}.png")
    return folder


def local_item(path: Path) -> InputItem:
    return inputs.local_item(path, path.parent)


def good(folder: Path) -> list[InputItem]:
    return [local_item(path) for path in sorted(folder.glob("*.png"))]


def evil(path: Path, content: bytes) -> InputItem:
    path.write_bytes(content)
    return local_item(path)


def read(images: list[InputItem], workers: int = 2, timeout: float = 60.0, ahead: int = 8) -> list[ReadImage]:
    with DecoderPool(SETUP, workers, timeout, EVIL) as pool:
        return list(pool.read(images, ahead))


def kinds(images: list[ReadImage]) -> list[str]:
    return [image.picture.kind if isinstance(image.picture, ImageError) else "ok" for image in images]


def check_as_read_here(images: list[ReadImage], wanted: list[InputItem]) -> None:
    """Fail unless every image that is no failure has the facts and the pixels of its own input."""
    assert [image.item for image in images] == wanted
    for image in images:
        if not isinstance(image.picture, ImageError):
            expected = reader.read(image.item, SIZE)
            assert image[:4] == expected[:4]
            np.testing.assert_array_equal(image.picture.pixels_SS3, expected.picture.pixels_SS3)


def children(parent: int) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # the name, in brackets, may hold anything
            state, ppid = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.add(int(status.parent.name))
    return found


@contextmanager
def leaving_nothing_behind() -> Iterator[None]:
    """Fail where processes, threads or open files are more afterwards than before."""
    processes, threads, files = children(os.getpid()), threading.active_count(), open_files()
    yield
    deadline = time.monotonic() + 5
    while children(os.getpid()) - processes or threading.active_count() > threads or open_files() > files:
        # threads of a web server end a moment after their connection
        assert time.monotonic() < deadline, (children(os.getpid()), threading.enumerate(), open_files())
        time.sleep(0.05)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
