"""MobileNet, small: an example of a backbone that is added to the lab, for agents and vision models.

Source: Howard et al. 2017, "MobileNets: Efficient convolutional neural networks for mobile vision applications",
section 3.1: a convolution of each channel on its own (depthwise), then one of 1 x 1 that mixes the channels.
"""

from __future__ import annotations

from torch import nn

from rl_gen_lab.backbones.convolutional import Convolutional, ScaledConv2d, Shape


def separable(channels: int, out: int, stride: int) -> list[nn.Module]:
    """Return the layers of a depthwise separable convolution of 3 x 3."""
    depthwise = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels)
    return [depthwise, nn.ReLU(inplace=True), nn.Conv2d(channels, out, 1), nn.ReLU(inplace=True)]


class MobileNet(Convolutional):
    """Four separable convolutions and the average over all positions; 15 thousand weights without a head."""

    def __init__(self, shape: Shape) -> None:
        first = [ScaledConv2d(shape, 16, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
        blocks = [*separable(16, 32, 2), *separable(32, 64, 2), *separable(64, 64, 1), *separable(64, 96, 2)]
        # Modules after which a feature map ends -> pixels of the image from one position of the map to the next.
        super().__init__(shape, nn.Sequential(*first, *blocks), None, {1: 2, 5: 4, 13: 8, 17: 16})
