"""Fig. 5, class activation maps, which regions of a picture speak for a label: computed, and drawn.

Shapes: B batch, S image side, C channels, H x W feature map, K labels of an image, L labels, P x Q a picture.

Where a network ends in global average pooling and a linear layer, the map of a label is CAM (Zhou et al. 2016, Eq. 2):
the feature map's channels, weighted by the label's row of the layer. For other heads it is Grad-CAM (Selvaraju et al.
2017, Eq. 1 and 2): channels are weighted by the gradient of the label's logit with respect to them. With the gradient
summed over positions, not averaged, the two are equal where both are defined, so there is one function for all heads.

The feature map is the one that goes into `network.pool`, after the attention layer.

For each image its ground-truth labels are in columns, the baseline over AAAM. Both maps of a label have one colour
scale: from 0, where a region does not speak for the label or against it, to the higher of the two networks' highest
value. So a paler map is a weaker one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from aaam_pipeline.figures import style
from aaam_pipeline.models.network import Network

COLOURS = "inferno"
# the darkest grey of a picture behind its map, and how much of the map's colours covers it
PALEST, SHARE = 0.25, 0.8
# inches
GAP, GROUP_GAP, SIDE, HEAD, UNDER, FOOT, BETWEEN = 0.05, 0.22, 0.16, 0.17, 0.12, 0.3, 0.12


def activation_maps(network: Network, images_B3SS: Tensor, labels: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the maps of labels, (B, K, H, W), with their sign, and the probabilities of all labels, (B, L).

    The network must be in evaluation mode. Its weights and their gradients are left as they are.
    """
    with torch.no_grad():
        p_BCHW = network.attention(network.features(images_B3SS))
    p_BCHW = p_BCHW.float().contiguous().requires_grad_()
    with torch.enable_grad():
        # a copy: what follows may work in place
        logits_BL = network.classifier(network.neck(network.pool(p_BCHW.clone())))
    maps = []
    for label in labels:
        (slope_BCHW,) = torch.autograd.grad(logits_BL[:, label].sum(), p_BCHW, retain_graph=True)
        weight_BC11 = slope_BCHW.sum((2, 3), keepdim=True)
        maps.append((weight_BC11 * p_BCHW.detach()).sum(1))
    height, width = p_BCHW.shape[2:]
    maps_BKHW = torch.stack(maps, 1) if maps else p_BCHW.new_zeros((len(images_B3SS), 0, height, width)).detach()
    return maps_BKHW, logits_BL.detach().float().sigmoid()


class ImageMaps(NamedTuple):
    """An image with its labels: per network the maps (K, H, W) and the probabilities (K,)."""

    picture_PQ3: NDArray[np.uint8]
    labels: Sequence[str]
    maps: Sequence[NDArray[np.floating]]
    scores: Sequence[NDArray[np.floating]]


def draw(groups: Sequence[ImageMaps], titles: Sequence[str], beside: int = 2) -> Figure:
    """Draw groups, `beside` each other; `titles` are the networks, from the top to the bottom row of a group."""
    most = max(len(group.labels) for group in groups)
    beside = min(beside, len(groups))
    width = (style.TWO_COLUMNS - GROUP_GAP * (beside - 1)) / beside
    # the picture, then a column a label
    cell = min((width - SIDE - GAP * most) / (most + 1), 1.3)
    lines = [groups[start : start + beside] for start in range(0, len(groups), beside)]
    # wide pictures need less height; tall ones are made to fit
    ratios = [[group.picture_PQ3.shape[0] / group.picture_PQ3.shape[1] for group in line] for line in lines]
    cells = [(cell, cell * min(1.0, max(line))) for line in ratios]
    blocks = [HEAD + len(titles) * (tall + UNDER) for _, tall in cells]
    height = sum(blocks) + (len(lines) - 1) * BETWEEN + FOOT
    with style.figure_style():
        figure = Figure((style.TWO_COLUMNS, height))
        for number, line in enumerate(lines):
            top = sum(blocks[:number]) + number * BETWEEN
            for column, group in enumerate(line):
                _group(figure, group, titles, (column * (width + GROUP_GAP), top), cells[number])
        _scale(figure, height)
    return figure


def _group(
    figure: Figure, group: ImageMaps, titles: Sequence[str], corner: tuple[float, float], cell: tuple[float, float]
) -> None:
    (left, top), (wide, tall) = corner, cell
    across, down = figure.get_size_inches()
    block = len(titles) * (tall + UNDER) - UNDER
    axes = style.add_axes(figure, left, top + HEAD + (block - tall) / 2, wide, tall)
    axes.imshow(group.picture_PQ3, interpolation="lanczos")
    style.frame(axes)
    for row, title in enumerate(titles):
        begin = top + HEAD + row * (tall + UNDER)
        x, y = (left + wide + SIDE / 2 + 0.02) / across, 1 - (begin + tall / 2) / down
        figure.text(
            x, y, title, rotation=90, ha="center", va="center", fontsize=style.fitting_size(title, tall, style.SMALL)
        )
        for column, label in enumerate(group.labels):
            axes = style.add_axes(figure, left + wide + SIDE + GAP + column * (wide + GAP), begin, wide, tall)
            highest = max(float(maps[column].max()) for maps in group.maps)
            axes.imshow(_overlay(group.picture_PQ3, group.maps[row][column], highest), interpolation="lanczos")
            style.frame(axes)
            axes.set_xlabel(f"{group.scores[row][column]:.2f}", labelpad=1.5, fontsize=style.TINY, color=style.WEAK)
            if row == 0:
                name = style.short(label)
                axes.set_title(name, pad=2.5, color=style.RELEVANT, fontsize=style.fitting_size(name, wide, 7.0))


def _overlay(picture_PQ3: NDArray[np.uint8], map_HW: NDArray[np.floating], highest: float) -> NDArray[np.uint8]:
    """Return a picture in grey under the colours of a map; the higher its value, the more of its colour is seen."""
    height, width = picture_PQ3.shape[:2]
    heat_HW = np.clip(np.asarray(map_HW, np.float32) / highest, 0, 1) if highest > 0 else np.zeros_like(map_HW)
    wide = Image.fromarray(np.asarray(heat_HW, np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    # a dark picture as well shall be seen behind its map
    grey = ImageOps.autocontrast(Image.fromarray(picture_PQ3).convert("L"), cutoff=1)
    grey_PQ = PALEST + (1 - PALEST) * np.asarray(grey, np.float32) / 255
    return np.asarray((255 * _mixed(np.clip(np.asarray(wide), 0, 1), grey_PQ)).round(), np.uint8)


def _mixed(heat_PQ: NDArray[np.floating], grey_PQ: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the colours of a map over greys, (P, Q, 3) in [0, 1]: none at 0, most at a half and above."""
    share_PQ1 = (SHARE * np.minimum(2 * heat_PQ, 1))[..., None]
    mixed_PQ3: NDArray[np.float64] = share_PQ1 * matplotlib.colormaps[COLOURS](heat_PQ)[..., :3]
    mixed_PQ3 += (1 - share_PQ1) * grey_PQ[..., None]
    return mixed_PQ3


def _scale(figure: Figure, height: float) -> None:
    """Draw what the colours mean, and the numbers."""
    axes = style.add_axes(figure, 2.42, height - 0.2, 1.2, 0.075)
    heat_1Q = np.linspace(0, 1, 256)[None]
    axes.imshow(_mixed(heat_1Q, np.full_like(heat_1Q, 0.8)), aspect="auto", interpolation="nearest")
    style.frame(axes)
    after = "highest of the image and label in all rows.  Number: the label's score"
    for x, side, text in ((-0.03, "right", "activation:  0"), (1.03, "left", after)):
        axes.text(
            x, 0.5, text, ha=side, va="center_baseline", transform=axes.transAxes, fontsize=style.SMALL, color=style.INK
        )
