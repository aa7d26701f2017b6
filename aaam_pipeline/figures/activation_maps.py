"""Class activation maps: which regions of a picture speak for a label.

Shapes: B batch, S image side, C channels, H x W feature map, K labels asked for, L labels.

Where a network ends in global average pooling and a linear layer, the map of a label is CAM (Zhou et al. 2016, Eq. 2):
the feature map's channels, weighted by the label's row of the layer. For other heads it is Grad-CAM (Selvaraju et al.
2017, Eq. 1 and 2): channels are weighted by the gradient of the label's logit with respect to them. With the gradient
summed over positions, not averaged, the two are equal where both are defined, so there is one function for all heads.

The feature map is the one that goes into `network.pool`, after the attention layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from aaam_pipeline.models.network import Network


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
