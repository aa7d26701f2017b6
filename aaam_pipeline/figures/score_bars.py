"""Fig. 4, score bars: what two methods give the labels of an image, the baseline beside AAAM.

Shapes: N images, L labels.

Relevant labels are red, the irrelevant ones that either method scores best green; the baseline's bar is the pale one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from aaam_pipeline.figures import style
from aaam_pipeline.formats.scores import ScoredSplit

# inches
LINE, HEAD, FOOT, GAP, BETWEEN = 0.155, 0.3, 0.18, 0.16, 0.22
PALE = 0.62


class Scored(NamedTuple):
    """A method: its name in the figure, and its scores."""

    title: str
    split: ScoredSplit


def draw(
    baseline: Scored, ours: Scored, pictures: Sequence[NDArray[np.uint8]], rows: Sequence[int], lines: int = 9
) -> Figure:
    """Draw the images at `rows` of both splits, two beside each other, each with so many labels at least."""
    labels = [_shown(baseline.split, ours.split, row, lines) for row in rows]
    across = min(2, len(rows))
    width = (style.TWO_COLUMNS - BETWEEN * (across - 1)) / 2
    longest = max(
        style.text_width(style.short(ours.split.labels[label]), style.SMALL) for each in labels for label in each
    )
    heights = [max(map(len, labels[start : start + across])) * LINE for start in range(0, len(rows), across)]
    total = HEAD + sum(heights) + len(heights) * (FOOT + GAP) - GAP
    with style.figure_style():
        figure = Figure((width * across + BETWEEN * (across - 1), total))
        _legend(figure, baseline.title, ours.title)
        for number, row in enumerate(rows):
            line, column = divmod(number, across)
            left = column * (width + BETWEEN)
            top = HEAD + sum(heights[:line]) + line * (FOOT + GAP)
            picture = min(1.3, heights[line])
            axes = style.add_axes(figure, left + 0.03, top, picture, picture)
            axes.imshow(pictures[number], interpolation="lanczos")
            axes.set_anchor("N")
            style.frame(axes)
            begin = left + 0.03 + picture + longest + 0.1
            axes = style.add_axes(figure, begin, top, left + width - begin - 0.06, len(labels[number]) * LINE)
            _bars(axes, baseline, ours, row, labels[number])
    return figure


def _shown(baseline: ScoredSplit, ours: ScoredSplit, row: int, lines: int) -> list[int]:
    """Return an image's labels to be drawn: the relevant ones, and the best-scored irrelevant ones, three at least."""
    relevant_L, irrelevant_L = ours.targets_NL[row] > 0, ours.targets_NL[row] == 0
    best_L = np.maximum(baseline.scores_NL[row], ours.scores_NL[row]).astype(np.float64)
    order = [int(label) for label in np.argsort(-best_L, kind="stable")]
    relevant = sorted(np.flatnonzero(relevant_L).tolist(), key=lambda label: -float(ours.scores_NL[row, label]))
    others = [label for label in order if irrelevant_L[label]][: max(3, lines - len(relevant))]
    return [*relevant, *others]


def _bars(axes: Axes, baseline: Scored, ours: Scored, row: int, labels: Sequence[int]) -> None:
    heights = np.arange(len(labels))
    colours = [style.RELEVANT if ours.split.targets_NL[row, label] > 0 else style.IRRELEVANT for label in labels]
    pale = [_pale(colour) for colour in colours]
    before, after = baseline.split.scores_NL[row, labels], ours.split.scores_NL[row, labels]
    axes.barh(heights - 0.2, before, 0.34, color=pale, edgecolor=colours, linewidth=0.4)
    axes.barh(heights + 0.2, after, 0.38, color=colours, edgecolor=colours, linewidth=0.4)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks(heights, [style.short(ours.split.labels[label]) for label in labels], fontsize=style.SMALL)
    for tick, colour in zip(axes.get_yticklabels(), colours, strict=True):
        tick.set_color(colour)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _legend(figure: Figure, baseline: str, ours: str) -> None:
    signs = [
        Patch(facecolor=_pale(style.WEAK), edgecolor=style.WEAK, linewidth=0.4, label=baseline),
        Patch(facecolor=style.WEAK, edgecolor=style.WEAK, linewidth=0.4, label=ours),
        Patch(facecolor=style.RELEVANT, label="relevant label"),
        Patch(facecolor=style.IRRELEVANT, label="irrelevant label"),
    ]
    figure.legend(
        handles=signs, loc="upper center", ncols=4, frameon=False, fontsize=style.SMALL, handlelength=1.4,
        handleheight=0.7, borderaxespad=0.3, columnspacing=1.6,
    )  # fmt: skip


def _pale(colour: str) -> tuple[float, float, float]:
    """Mix a colour with white."""
    red, green, blue = to_rgb(colour)
    return red + (1 - red) * PALE, green + (1 - green) * PALE, blue + (1 - blue) * PALE
