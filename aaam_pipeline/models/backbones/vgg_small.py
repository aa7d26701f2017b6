"""`vgg_small`: a VGG for small pictures (Simonyan and Zisserman 2015, configuration cut down)."""

from torch import nn

# channels of each convolution, and whether the map is halved after it
SMALL_VGG = ((24, True), (48, True), (48, False), (96, True), (96, False), (128, True), (160, False))


class SmallVgg(nn.Module):
    """A VGG with batch norm for pictures of about 100 px.

    Pooling comes before normalisation and ReLU, not after: nearly the same function on a quarter of the values. The
    last pooling takes the maximum over the whole map: a small thing anywhere in the picture counts.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, halve in SMALL_VGG:
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
            if halve:
                layers.append(nn.MaxPool2d(2))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveMaxPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(channels, 256), nn.ReLU(True), nn.Dropout(dropout), nn.Linear(256, num_classes)
        )
