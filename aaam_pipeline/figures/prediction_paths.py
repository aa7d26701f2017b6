"""Fig. 2, prediction paths: how the scores of an image's labels change while different networks are trained.

Shapes: S steps, M images, L labels.

One column an image, one row a method; the first row has the pictures. Relevant labels are red, the irrelevant ones that
score best green, and every line has its label at its end. Thick lines are running means of the thin ones.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.figures import style
from aaam_pipeline.formats.recordings import Recording

# inches
PICTURE, PLOT, ROW_GAP, LEFT, TOP, BOTTOM = 1.1, 1.3, 0.28, 0.5, 0.04, 0.3
LABEL_GAP = 0.09
# the running mean's window reaches over so small a part of a phase to either side
WINDOW = 25


class PathRow(NamedTuple):
    """A row of the figure: a method's recording, and its phases as (name, last step), if it has more than one."""

    title: str
    recording: Recording
    phases: Sequence[tuple[str, int]] = ()


def draw(
    paths: Sequence[PathRow], pictures: Sequence[NDArray[np.uint8]], positions: Sequence[int], irrelevant: int = 3
) -> Figure:
    """Draw the images at `positions` of recordings that are `check_alike`, with their `pictures` above."""
    first = paths[0].recording
    shown = [_shown(paths, position, irrelevant) for position in positions]
    names = [style.short(first.labels[label]) for labels in shown for label in labels]
    beside = max(style.text_width(name, style.SMALL) for name in names) + 0.14
    width = (style.TWO_COLUMNS - LEFT) / len(positions)
    height = TOP + PICTURE + len(paths) * (PLOT + ROW_GAP) + BOTTOM
    with style.figure_style():
        figure = Figure((style.TWO_COLUMNS, height))
        for column, position in enumerate(positions):
            left = LEFT + column * width
            axes = style.add_axes(figure, left, TOP, width - beside, PICTURE)
            axes.imshow(pictures[column], interpolation="lanczos")
            style.frame(axes)
            for row, path in enumerate(paths):
                top = TOP + PICTURE + ROW_GAP + row * (PLOT + ROW_GAP)
                axes = style.add_axes(figure, left, top, width - beside, PLOT)
                _panel(axes, path, position, shown[column])
                if column == 0:
                    axes.set_ylabel("score")
                    middle = 1 - (top + PLOT / 2) / height
                    figure.text(0.008, middle, path.title, rotation=90, va="center", fontsize=7.5, fontweight="bold")
                else:
                    axes.set_yticklabels([])
                if row == len(paths) - 1:
                    axes.set_xlabel("training step", labelpad=2)
    return figure


def check_alike(paths: Sequence[PathRow]) -> None:
    """Check that recordings can be shown beside each other.

    Raises:
        IntegrityError: they are not of the same images and labels.
    """
    first = paths[0]
    for path in paths[1:]:
        one, other = first.recording, path.recording
        same = (one.labels, one.image_ids) == (other.labels, other.image_ids)
        if not same or (one.targets_ML != other.targets_ML).any():
            raise IntegrityError(f"the recordings of {first.title} and {path.title} are of other images or labels")


def _shown(paths: Sequence[PathRow], position: int, irrelevant: int) -> list[int]:
    """Return the labels to be drawn, the same in every row: the relevant ones, and the best-scored irrelevant ones."""
    targets_L = paths[0].recording.targets_ML[position]
    relevant_L, irrelevant_L = targets_L > 0, targets_L == 0
    score_L = np.mean([path.recording.scores_SML[:, position].mean(0) for path in paths], axis=0)
    best_L = np.argsort(-np.where(irrelevant_L, score_L, -1), kind="stable")[: min(irrelevant, int(irrelevant_L.sum()))]
    return [*np.flatnonzero(relevant_L).tolist(), *best_L.tolist()]


def _panel(axes: Axes, path: PathRow, position: int, labels: Sequence[int]) -> None:
    recording = path.recording
    last = int(recording.steps_S[-1]) or 1
    axes.set_xlim(0, last)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1])
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    if last >= 10_000:
        axes.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k" if step else "0")
    _phases(axes, path.phases, last)
    parts = np.searchsorted(recording.steps_S, [end for _, end in path.phases[:-1]], side="right")
    ends = [float(recording.scores_SML[-1, position, label]) for label in labels]
    at = spread(ends, LABEL_GAP / PLOT * 1.04, 0, 1)
    # many labels are set smaller
    size = min(style.SMALL, style.SMALL * PLOT / LABEL_GAP / len(labels)) if labels else style.SMALL
    # of equal ends the relevant lines lie above the others
    for label, end, height in reversed(list(zip(labels, ends, at, strict=True))):
        relevant = bool(recording.targets_ML[position, label] > 0)
        colour = style.RELEVANT if relevant else style.IRRELEVANT
        line_S = recording.scores_SML[:, position, label]
        axes.plot(recording.steps_S, line_S, color=colour, linewidth=0.35, alpha=0.2)
        axes.plot(
            recording.steps_S, _smooth(line_S, parts), color=colour,
            linewidth=1.0 if relevant else 0.8, linestyle="-" if relevant else (0, (3, 1.2)),
        )  # fmt: skip
        outside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "clip_on": False}
        axes.plot([1.01, 1.05], [end, height], color=colour, linewidth=0.4, **outside)
        name = style.short(recording.labels[label])
        axes.text(1.065, height, name, color=colour, fontsize=size, va="center_baseline", **outside)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return a position for each wanted position, at least `gap` apart in the same order, moved by the least squares.

    Without the gaps this is isotonic regression. Positions are kept within [low, high] if there is room; else they are
    spread evenly over it.

    >>> spread([0.5, 0.5, 0.9], 0.1, 0, 1)
    [0.45, 0.55, 0.9]
    """
    if not wanted:
        return []
    order = np.argsort(wanted, kind="stable")
    steps = np.arange(len(wanted)) * min(gap, (high - low) / max(len(wanted) - 1, 1))
    bases = isotonic_regression(np.array(wanted)[order] - steps).x
    positions = np.empty(len(wanted))
    positions[order] = np.clip(bases, low, high - steps[-1]) + steps
    return [round(float(position), 9) for position in positions]


def _smooth(line_S: NDArray[np.floating], parts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return a line's running mean within each phase; its ends stay, since the window is even."""
    smooth = []
    for piece in np.split(np.asarray(line_S, np.float64), parts):
        widest, count = len(piece) // WINDOW, len(piece)
        halves = [min(widest, position, count - 1 - position) for position in range(count)]
        smooth += [float(piece[at - half : at + half + 1].mean()) for at, half in enumerate(halves)]
    return np.array(smooth)


def _phases(axes: Axes, phases: Sequence[tuple[str, int]], last: int) -> None:
    """Draw where phases end, and their names above."""
    begin = 0
    for name, end in phases:
        if end < last:
            axes.axvline(end, color=style.WEAK, linewidth=0.5, linestyle=(0, (1, 1.5)))
        axes.text(
            (begin + end) / 2, 1.03, name, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
            fontsize=4.8, color=style.WEAK,
        )  # fmt: skip
        begin = end
