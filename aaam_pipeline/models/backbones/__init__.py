"""Classification networks by name, taken apart where AAAM puts its attention.

A classification network is `features -> pool -> neck -> last layer`: `features` ends in the last feature map p, `neck`
is what its authors put between pooling and the 1,000 ImageNet outputs. The last layer is dropped: AAAM has its own.

    vgg_small       a VGG for small pictures
    timm/NAME       any CNN or vision transformer of timm, as timm names it: timm/tf_efficientnet_lite2
    NAME            any torchvision classification CNN
"""

import logging

from aaam_pipeline.models.backbones import timm, torchvision
from aaam_pipeline.models.backbones.base import Backbone, shapes

__all__ = ["Backbone", "load", "shapes"]

log = logging.getLogger(__name__)


def load(name: str, weights: str, dropout: float, size: int) -> Backbone:
    """Make the backbone `name` with `weights`, for images of size x size.

    `weights`: `imagenet` (those that its authors publish, downloaded), `none`, or a .safetensors file.

    Raises:
        ParamsError: there is no such backbone, no ImageNet weights for it, or it has no feature map at that size.
        UsageError: the weights file is not there, or the download failed.
        IntegrityError: the weights file does not fit the backbone.
    """
    log.info("backbone %s with weights: %s", name, weights)
    if name.startswith(timm.PREFIX):
        return timm.load(name, weights, dropout, size)
    return torchvision.load(name, weights, dropout)
