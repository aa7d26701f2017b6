"""Thumbnails in a terminal, by the protocol it speaks: kitty's, iTerm2's, or coloured half blocks.

A file of our own because textual-image, the one library that is kept up, asks the terminal by escape codes and reads
its answers from stdin while it is imported, knows no iTerm2, and is 2,600 lines for these.
"""

import io
import os
import shutil
from base64 import b64encode
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING

from aaam_pipeline.cli.photos import thumbnail
from aaam_pipeline.core.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from aaam_pipeline.search import Hit

ROWS, COLUMNS = 12, 40
PIXELS = 320
# the most that kitty takes in one piece
PIECE = 4096


class GraphicsProtocol(Enum):
    """How a terminal shows a picture."""

    KITTY = "kitty"
    ITERM = "iterm"
    BLOCKS = "24-bit colours"
    BLOCKS_256 = "256 colours"


def chosen(on_terminal: bool, environment: Mapping[str, str] = os.environ) -> GraphicsProtocol | str:
    """Return how thumbnails can be shown here, or in words why they cannot."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if not on_terminal:
        return "stdout is no terminal"
    if environment.get("NO_COLOR"):
        return "NO_COLOR is set"
    # a multiplexer inherits the variables of the terminal around it, and does not pass pictures through
    if not (environment.get("TMUX") or term.startswith(("screen", "tmux"))):
        if environment.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
            return GraphicsProtocol.KITTY
        # WezTerm's version of kitty's protocol takes the picture before away
        if program in ("iTerm.app", "WezTerm"):
            return GraphicsProtocol.ITERM
    if environment.get("COLORTERM") in ("truecolor", "24bit"):
        return GraphicsProtocol.BLOCKS
    return GraphicsProtocol.BLOCKS_256 if "256color" in term else "this terminal shows neither pictures nor 256 colours"


def picture(hit: "Hit", protocol: GraphicsProtocol) -> str:
    """Return what shows a hit's thumbnail, without the end of its last line; words where there is no picture."""
    try:
        image = thumbnail(hit, PIXELS)
    except ImageError as error:
        return f"[{error}]"
    match protocol:
        case GraphicsProtocol.KITTY:
            return "".join(_kitty(image))
        case GraphicsProtocol.ITERM:
            content = _png(image)
            options = f"inline=1;size={len(content)};width={_columns()};height={ROWS};preserveAspectRatio=1"
            return f"\x1b]1337;File={options}:{b64encode(content).decode()}\a"
        case GraphicsProtocol.BLOCKS | GraphicsProtocol.BLOCKS_256:
            return "\n".join(_blocks(image, exact=protocol is GraphicsProtocol.BLOCKS))


def _png(image: "Image") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _kitty(image: "Image") -> Iterator[str]:
    text = b64encode(_png(image)).decode()
    width, height = _cells(image)
    # of the two only the one that the picture fills: the terminal, which knows its cells' shape, finds the other
    size = f"r={height}" if height == ROWS else f"c={width}"
    for start in range(0, len(text), PIECE):
        # a=T show at once, f=100 PNG, q=2 no answer on stdin; m=1 while more is to come
        options = f"a=T,f=100,q=2,{size}," if start == 0 else ""
        yield f"\x1b_G{options}m={int(start + PIECE < len(text))};{text[start : start + PIECE]}\x1b\\"


def _blocks(image: "Image", exact: bool) -> Iterator[str]:
    """Yield lines of upper half blocks: a character is two pixels, one above the other."""
    width, height = _cells(image)
    small = image.convert("RGB").resize((width, 2 * height)).tobytes()
    colours = [_colour(small[start : start + 3], exact) for start in range(0, len(small), 3)]
    for top in range(0, len(colours), 2 * width):
        pairs = zip(colours[top : top + width], colours[top + width : top + 2 * width], strict=True)
        yield "".join(f"\x1b[38;{above};48;{below}m▀" for above, below in pairs) + "\x1b[0m"


def _cells(image: "Image") -> tuple[int, int]:
    """Return the columns and rows that a picture fills; a cell is about twice as high as wide."""
    scale = min(_columns() / image.width, 2 * ROWS / image.height)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale / 2))


def _columns() -> int:
    return min(COLUMNS, shutil.get_terminal_size().columns)


def _colour(pixel: bytes, exact: bool) -> str:
    red, green, blue = pixel
    if exact:
        return f"2;{red};{green};{blue}"
    # the cube of 6 x 6 x 6 colours: levels 0, 95, 135, ... 255
    levels = [0 if value < 48 else 1 if value < 115 else (value - 35) // 40 for value in pixel]
    return f"5;{16 + 36 * levels[0] + 6 * levels[1] + levels[2]}"
