"""The self-attention layer of AAAM (section 4.4, Fig. 3, Eq. 7).

Shapes: B batch, C channels, H x W the feature map.

    p'     = conv(p)                       the same number of channels
    alpha  = filters over the whole map    H x W kernels on p', C weights of 1 x 1
    p_att  = p + alpha * p'                skip connection (Eq. 7), fed to the first fully connected layer

The paper gives no activation on alpha ("enhance or weaken"), so `none` is the default. The filters start at zero:
alpha is then 0 and p_att = p, so that a pre-trained backbone is not disturbed before the layer has learned anything.
The convolution starts as the identity, p' = p: at first, alpha does nothing but enhance or weaken a channel.
"""

import torch
from torch import Tensor, nn

from aaam_pipeline.models.architecture import AttentionParams

ACTIVATIONS: dict[str, type[nn.Module]] = {"none": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class SelfAttention(nn.Module):
    """Weigh every channel of a feature map by what its filter sees on the whole map (Eq. 7)."""

    def __init__(self, channels: int, size: tuple[int, int], params: AttentionParams) -> None:
        """Make the layer for maps of (channels, *size)."""
        super().__init__()
        groups = channels if params.filters == "depthwise" else 1
        self.conv = nn.Conv2d(channels, channels, params.kernel_size, padding="same")
        self.filters = nn.Conv2d(channels, channels, size, groups=groups)
        self.activation = ACTIVATIONS[params.activation]()
        nn.init.dirac_(self.conv.weight)
        nn.init.zeros_(self.filters.weight)
        for layer in (self.conv, self.filters):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, p_BCHW: Tensor) -> Tensor:
        """Return p_att, (B, C, H, W)."""
        mapped_BCHW = self.conv(p_BCHW)
        alpha_BC11 = self.activation(self._see(mapped_BCHW))
        return torch.addcmul(p_BCHW, alpha_BC11, mapped_BCHW)

    def _see(self, mapped_BCHW: Tensor) -> Tensor:
        """Return what every filter sees on the whole map, (B, C, 1, 1)."""
        if self.filters.groups == 1:
            seen_BC11: Tensor = self.filters(mapped_BCHW)
            return seen_BC11
        # the same sum as the convolution, which has no fast way back for kernels as large as the map
        assert self.filters.bias is not None
        weight_1CHW = self.filters.weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        return (mapped_BCHW * weight_1CHW).sum((2, 3), keepdim=True) + self.filters.bias[:, None, None]
