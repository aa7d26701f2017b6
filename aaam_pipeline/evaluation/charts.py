"""Drawings of a report as SVG, in light or dark as the reader prefers: calibration curves, and a matrix of labels.

They are strings without any library, so that `report` needs none; the paper's figures are drawn by `figures`.
"""

import html
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.logging import printable
from aaam_pipeline.metrics.calibration import Reliability

# one block of rules, also when a page has several drawings; its classes begin with c- and match nothing else in a page
STYLE = f"<style>\n{(files(__package__) / 'templates' / 'charts.css').read_text('utf8')}</style>"
PANEL, LEFT, TOP, BETWEEN, BELOW = 260, 46, 44, 60, 44
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CELL, CHARACTER = 22, 6.2
# up to so many labels a cell has room for its number
NUMBERED = 26


def escape(text: str) -> str:
    """Return text as SVG shows it."""
    return html.escape(printable(text))


def calibration(panels: Sequence[tuple[str, Reliability, Reliability | None]]) -> str:
    """Draw the calibration curves of methods (title, raw, calibrated) beside each other."""
    width = LEFT + len(panels) * (PANEL + BETWEEN) - BETWEEN + 14
    parts = [_panel(LEFT + index * (PANEL + BETWEEN), *panel) for index, panel in enumerate(panels)]
    return _document(width, TOP + PANEL + BELOW, "Calibration curves", parts)


def _panel(left: float, title: str, raw: Reliability, calibrated: Reliability | None) -> str:
    parts = [f'<text class="c-bold" x="{left}" y="14">{escape(title)}</text>']
    for tick in TICKS:
        x, y = left + tick * PANEL, TOP + PANEL - tick * PANEL
        parts += [
            f'<path class="c-grid" d="M{_n(x)} {TOP}v{PANEL}M{left} {_n(y)}h{PANEL}"/>',
            f'<text class="c-weak" x="{_n(x)}" y="{TOP + PANEL + 16}" text-anchor="middle">{tick:.1f}</text>',
            f'<text class="c-weak" x="{left - 7}" y="{_n(y + 4)}" text-anchor="end">{tick:.1f}</text>',
        ]
    middle = f'x="{left + PANEL / 2:g}" y="{TOP + PANEL + 35}"'
    turned = f'transform="translate({left - 34} {TOP + PANEL / 2:g}) rotate(-90)"'
    parts += [
        f'<path class="c-chance" d="M{left} {TOP + PANEL}l{PANEL} {-PANEL}"/>',
        f'<text {middle} text-anchor="middle">mean score of the bin</text>',
        f'<text {turned} text-anchor="middle">share that has the label</text>',
    ]
    curves = [("c-before", "before", raw), ("c-after", "after", calibrated)] if calibrated else [("c-after", "", raw)]
    for index, (name, caption, table) in enumerate(curves):
        parts.append(_curve(left, name, table))
        if caption:
            x = left + index * 80
            parts += [f'<path class="{name}" d="M{x} 30h22"/>', f'<text x="{x + 28}" y="34">{caption}</text>']
    return "".join(parts)


def _curve(left: float, name: str, table: Reliability) -> str:
    full = table.pairs_B > 0
    points = list(
        zip(left + table.score_B[full] * PANEL, TOP + PANEL - table.frequency_B[full] * PANEL, strict=True)
    )  # fmt: skip
    radii = 2 + 3 * np.log1p(table.pairs_B[full]) / max(np.log1p(table.pairs_B.max()), 1e-9)
    line = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    marks = [
        f'<circle class="{name}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}">'
        f"<title>{int(pairs):,} scores</title></circle>"
        for (x, y), radius, pairs in zip(points, radii, table.pairs_B[full], strict=True)
    ]
    return f'<path class="{name}" d="M{line}"/>' + "".join(marks)


def cooccurrence(labels: Sequence[str], given_LL: NDArray[np.floating]) -> str:
    """Draw P(column | row), in [0, 1], as a matrix of labels: the more, the darker."""
    cell = CELL if len(labels) <= NUMBERED else 16
    left = top = round(max(map(len, labels), default=0) * CHARACTER) + 12
    side = cell * len(labels)
    parts = []
    for row, label in enumerate(labels):
        y = top + row * cell + cell / 2 + 4
        parts.append(f'<text x="{left - 6}" y="{_n(y)}" text-anchor="end">{escape(label)}</text>')
        x = left + row * cell + cell / 2 + 4
        parts.append(f'<text transform="translate({_n(x)} {top - 6}) rotate(-90)">{escape(label)}</text>')
        for column, other in enumerate(labels):
            corner = left + column * cell, top + row * cell
            parts.append(_cell(*corner, cell, float(given_LL[row, column]), "" if row == column else (label, other)))
    parts.append(f'<path class="c-grid" d="M{left} {top}h{side}v{side}h{-side}z"/>')
    parts.append(_scale(left, top + side + 16))
    # the name of the last column is upright, and is as wide as a line
    return _document(left + side + 14, top + side + 50, "Co-occurrence of labels", parts)


def _cell(x: float, y: float, size: int, value: float, pair: tuple[str, str] | str) -> str:
    if not pair:
        return f'<path class="c-grid" d="M{x} {y + size}l{size} {-size}"/>'
    title = f"<title>P({escape(pair[1])} | {escape(pair[0])}) = {100 * value:.1f} %</title>"
    box = (
        f'<rect class="c-cell" x="{x}" y="{y}" width="{size}" height="{size}" fill-opacity="{_n(value)}">{title}</rect>'
    )
    if size < CELL or value < 0.005:
        return box
    name = "c-small c-on" if value > 0.55 else "c-small"
    middle = f'x="{_n(x + size / 2)}" y="{_n(y + size / 2 + 3)}"'
    return f'{box}<text class="{name}" {middle} text-anchor="middle">{100 * value:.0f}</text>'


def _scale(x: float, y: float) -> str:
    """Draw what the shades mean."""
    steps = [
        f'<rect class="c-cell" x="{x + 12 * step}" y="{y}" width="12" height="10" fill-opacity="{step / 10:g}"/>'
        for step in range(11)
    ]
    frame = f'<path class="c-grid" d="M{x} {y}h132v10h-132z"/>'
    ends = f'<text class="c-weak" x="{x}" y="{y + 24}">0 %</text><text class="c-weak" x="{x + 132}" y="{y + 24}" '
    return "".join(steps) + frame + ends + 'text-anchor="end">100 %</text>'


def _document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="c" role="img" aria-label="{escape(title)}" {size}>'
        f"<title>{escape(title)}</title>{STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _n(value: float) -> str:
    """Return a coordinate short, and the same on every machine."""
    return f"{round(float(value), 2) + 0.0:g}"
