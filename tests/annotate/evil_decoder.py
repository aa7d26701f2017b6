"""A decoding process that does what a file tells it to: `b"WORD rest"` instead of an image."""

import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

from aaam_pipeline.annotate import decoder, reader
from aaam_pipeline.imaging import Interpolation
from aaam_pipeline.imaging.resizing import DecodedImage, resize_square


def main() -> None:
    reader.resize_square = decode
    decoder.main()


def decode(
    content: bytes, size: int, max_pixels: int, accept_truncated: bool, interpolation: Interpolation
) -> DecodedImage:
    word, _, rest = content.partition(b" ")
    if trick := TRICKS.get(word.decode(errors="replace")):
        content = trick(rest)
    return resize_square(content, size, max_pixels, accept_truncated, interpolation)


def once(rest: bytes) -> bytes:
    """Be killed, as the system kills who takes too much memory; only the first time."""
    flag, _, image = rest.partition(b" ")
    if not Path(os.fsdecode(flag)).exists():
        Path(os.fsdecode(flag)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return image


def crash(rest: bytes) -> bytes:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)
    return rest


def hang_in_c(rest: bytes) -> bytes:
    """Hang with the interpreter's lock held, so that no other thread of the process ever runs again."""
    ctypes.PyDLL(None).sleep(1000)
    return rest


def hang(rest: bytes) -> bytes:
    time.sleep(1000)
    return rest


def rubbish(rest: bytes) -> bytes:
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.write(stream, b"\0TIFF: bad directory\n" * 10_000)
    print("still here")
    return rest


def greedy(rest: bytes) -> bytes:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 31, resource.RLIM_INFINITY))
    try:
        return bytes(1 << 32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


TRICKS = {
    "CRASH": crash,
    "EXIT": lambda rest: os._exit(3),
    "GREEDY": greedy,
    "HANG": hang,
    "HANG_IN_C": hang_in_c,
    "NAP": lambda rest: time.sleep(1) or rest,
    "ONCE": once,
    "RUBBISH": rubbish,
    "SLOW": lambda rest: time.sleep(0.05) or rest,
}
