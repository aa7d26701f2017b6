"""Decode the images of a split on all cores into one array on disk, row after row, so that a stopped run goes on.

Shapes: N images, S side. Decoding is Pillow's, which lets other threads run meanwhile: they are as fast as processes.
"""

import hashlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256, path_text, write_bytes
from aaam_pipeline.core.errors import DatasetError, ImageError
from aaam_pipeline.core.progress import Advance
from aaam_pipeline.datasets.listing import Example

Decode = Callable[[bytes], NDArray[np.uint8]]
# images between two lines of the journal: what a killed run loses at most
STEP = 512
# images that decoding is ahead of writing: 38 MB at 224 px, and enough to do while the disk is waited for
AHEAD = 256


class Bad(NamedTuple):
    """A row of bad_images.csv."""

    image_id: str
    path: str
    error_type: str
    error_message: str


class Written(NamedTuple):
    """What became of a split's examples, and the SHA-256 of its pixels.npy."""

    good: list[Example]
    bad: list[Bad]
    sha256: str


class _Step(msgspec.Struct):
    """Of `split` the first `done` examples are on disk, but the `bad` ones among those since the last step."""

    split: str
    done: int
    bad: list[Bad]


class Journal:
    """How far a run has come: a line for what it is of, then one for each step."""

    def __init__(self, path: Path, steps: list[_Step]) -> None:
        self.path = path
        self._steps = steps

    @classmethod
    def begin(cls, path: Path, identity: str) -> "Journal":
        """Start a journal of the work that `identity` stands for."""
        write_bytes(path, identity.encode() + b"\n")
        return cls(path, [])

    @classmethod
    def resume(cls, path: Path, identity: str, work: Path) -> "Journal | None":
        """Return the journal of a run of the same work, if all is in `work` that it says."""
        try:
            head, *lines = path.read_bytes().split(b"\n")
            # the last line is empty, or was cut off by the end of its run
            steps = [msgspec.json.decode(line, type=_Step) for line in lines[:-1]]
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        if head.decode(errors="replace") != identity:
            return None
        # what is written next must begin a line
        write_bytes(path, b"".join(line + b"\n" for line in (head, *lines[:-1])))
        journal = cls(path, steps)
        splits = {step.split for step in steps}
        return journal if all((work / split / "pixels.npy").is_file() for split in splits) else None

    def done(self, split: str) -> int:
        """Return how many examples of a split are done with."""
        return max((step.done for step in self._steps if step.split == split), default=0)

    def bad(self, split: str) -> list[Bad]:
        """Return those of them that could not be decoded."""
        return [bad for step in self._steps if step.split == split for bad in step.bad]

    def add(self, split: str, done: int, bad: list[Bad]) -> None:
        """Write down a step, after what it tells of is on disk."""
        self._steps.append(_Step(split, done, bad))
        with self.path.open("ab") as stream:
            stream.write(msgspec.json.encode(self._steps[-1]) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def close(self) -> None:
        """Remove the journal: the work is published."""
        self.path.unlink()


def write_pixels(
    examples: list[Example], path: Path, decode: Decode, size: int, journal: Journal, advance: Advance
) -> Written:
    """Write pixels.npy of a split, named by the folder of `path`: the images that can be decoded, without holes.

    Raises:
        DatasetError: there is none.
    """
    path.parent.mkdir(exist_ok=True)
    split = path.parent.name
    resumed = journal.done(split)
    header = _header(len(examples), size)
    digest = hashlib.sha256(header)
    with path.open("r+b" if resumed else "wb") as stream, decoding(examples[resumed:], decode) as pictures:
        stream.write(header)
        stream.seek((resumed - len(journal.bad(split))) * size * size * 3, os.SEEK_CUR)
        stream.truncate()
        for start in range(resumed, len(examples), STEP):
            step = examples[start : start + STEP]
            bad = []
            for example, picture in zip(step, pictures, strict=False):
                if isinstance(picture, ImageError):
                    bad.append(Bad(example.image_id, path_text(example.path), picture.kind, str(picture)))
                else:
                    content = picture.reshape(size, size, 3).tobytes()
                    stream.write(content)
                    digest.update(content)
                advance(1, failed=isinstance(picture, ImageError))
            stream.flush()
            os.fsync(stream.fileno())
            journal.add(split, start + len(step), bad)
        bad = journal.bad(split)
        if len(bad) == len(examples):
            # whoever repairs them begins anew
            journal.close()
            raise DatasetError(f"no image of the split {split} can be used")
        if bad:
            stream.seek(0)
            stream.write(_header(len(examples) - len(bad), size))
    left_out = {each.image_id for each in bad}
    good = [example for example in examples if example.image_id not in left_out]
    # of a file of one go without bad images, the digest was made on the way; else the file is read once more
    return Written(good, bad, file_sha256(path) if bad or resumed else digest.hexdigest())


def _header(count: int, size: int) -> bytes:
    """Return the beginning of an .npy file of uint8 (count, S, S, 3); it is equally long for every count."""
    header = io.BytesIO()
    content = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(header, content)
    return header.getvalue()


@contextmanager
def decoding(examples: list[Example], decode: Decode) -> Iterator[Iterator[NDArray[np.uint8] | ImageError]]:
    """Decode on all cores while the block runs: yield the pictures in order, a few ahead of who asks for them."""

    def one(example: Example) -> NDArray[np.uint8] | ImageError:
        try:
            return decode(example.path.read_bytes())
        except OSError as error:
            return ImageError("unreadable", error.strerror or str(error))
        except ImageError as error:
            return error

    def ahead() -> Iterator[NDArray[np.uint8] | ImageError]:
        waiting: deque[Future[NDArray[np.uint8] | ImageError]] = deque()
        for example in examples:
            waiting.append(pool.submit(one, example))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    try:
        yield ahead()
    finally:
        pool.shutdown(cancel_futures=True)
