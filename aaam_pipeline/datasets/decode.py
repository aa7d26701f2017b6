"""Decode images on all cores, in order. Pillow lets other threads run meanwhile: they are as fast as processes.

Nothing here changes what comes out of it, so `prepare` resumes whatever changes here.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.datasets.listing import Example
from aaam_pipeline.imaging import Interpolation
from aaam_pipeline.imaging.resizing import resize_square

# images that decoding is ahead of writing: 38 MB at 224 px, and enough to do while the disk is waited for
AHEAD = 256


@contextmanager
def decoding(
    examples: list[Example], size: int, interpolation: Interpolation = "bilinear"
) -> Iterator[Iterator[NDArray[np.uint8] | ImageError]]:
    """Decode while the block runs: yield pixels (S, S, 3), S = `size`, in order, or why there are none."""

    def ahead() -> Iterator[NDArray[np.uint8] | ImageError]:
        waiting: deque[Future[NDArray[np.uint8] | ImageError]] = deque()
        for example in examples:
            waiting.append(pool.submit(_decode, example, size, interpolation))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    pool = ThreadPoolExecutor(available_cores())
    try:
        yield ahead()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(example: Example, size: int, interpolation: Interpolation) -> NDArray[np.uint8] | ImageError:
    try:
        return resize_square(example.path.read_bytes(), size, interpolation=interpolation).pixels_SS3
    except OSError as error:
        return ImageError("unreadable", error.strerror or str(error))
    except ImageError as error:
        return error
