"""How the figures look, and how they are written: for print, in one or two columns, the same bytes for the same input.

The paper draws relevant labels in red and irrelevant ones in green. So that readers who do not tell red from green can
tell them apart too, the red is dark and its lines are whole and thick, the green light and its lines dashed and thin.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aaam_pipeline.core.artifacts import write_bytes

# inches
TWO_COLUMNS = 7.16
DPI = 300
RELEVANT, IRRELEVANT = "#a50f26", "#3f9f7a"
INK, WEAK, LINE = "#1a1a1a", "#6b6b70", "#c9c9c6"
SMALL, TINY = 6.0, 5.2
FORMATS = ("png", "svg")
# characters of a label
LONGEST = 18
# Any: the keys that matplotlib's types list are too many to be of use
RULES: Any = {
    "font.family": "sans-serif",
    # the first comes with matplotlib, so it is there everywhere; the others are for viewers of an SVG
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 7.0,
    "axes.edgecolor": WEAK,
    "axes.labelcolor": INK,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 7.0,
    "axes.unicode_minus": False,
    "figure.facecolor": "white",
    "grid.color": LINE,
    "grid.linewidth": 0.4,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    # a label is no formula, whatever signs it has
    "text.parse_math": False,
    "xtick.color": WEAK,
    "xtick.labelsize": TINY,
    "xtick.major.pad": 1.5,
    "xtick.major.size": 2.0,
    "xtick.major.width": 0.5,
    "ytick.color": WEAK,
    "ytick.labelsize": TINY,
    "ytick.major.pad": 1.5,
    "ytick.major.size": 2.0,
    "ytick.major.width": 0.5,
    # text stays text: it can be searched, and edited before it is printed
    "svg.fonttype": "none",
    "svg.hashsalt": "aaam-pipe",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the figures' style while the block runs, whatever the user's own matplotlibrc sets."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RULES)
        yield


def save(figure: Figure, out: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure as `out`.png and `out`.svg, atomically and without a date; return the files."""
    written = []
    for name in formats:
        content = io.BytesIO()
        undated = {"Date": None} if name == "svg" else {"Software": None}
        with matplotlib.rc_context(RULES):
            figure.savefig(content, format=name, dpi=DPI, metadata=undated)
        written.append(out.with_name(f"{out.name}.{name}"))
        write_bytes(written[-1], content.getvalue())
    return written


def frame(axes: Axes) -> None:
    """Make axes that show a picture: no ticks, no border."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a position in inches from the upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def short(label: str) -> str:
    """Return a label, cut off where it would take the room of what it names."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def fitting_size(text: str, room: float, size: float) -> float:
    """Return the size in points, `size` at most, in which a text fits into so many inches."""
    return size * min(1.0, room / text_width(text, size))


def text_width(text: str, size: float) -> float:
    """Return about how wide a text is, in inches, in DejaVu Sans of so many points."""
    return len(text) * size * 0.6 / 72
