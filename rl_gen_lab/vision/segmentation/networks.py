"""Networks that classify each pixel: by the patch around it, by down- and upsampling, by a U-Net on any backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.blocks import ChannelNorm, Scale, unit
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import SMALL_CHANNELS, build_for
from rl_gen_lab.compute.memory_budget import refuse_weights
from rl_gen_lab.data.dataset import Dataset
from rl_gen_lab.vision.segmentation.config import SegmentConfig


class PatchNetwork(nn.Module):
    """Classify the center pixel of a patch; on a whole image, the center of the patch around each pixel.

    Dilated convolutions without padding see a patch of `side` pixels and nothing else. Each position is normalized by
    itself: chosen patches and whole images have different statistics.
    Source: Ciresan et al. 2012, "Deep Neural Networks Segment Neuronal Membranes"; the dense form: Yu and Koltun 2016.
    """

    dilations = (1, 2, 4)

    def __init__(self, scale: Scale, classes: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [scale]
        channels = 3
        for dilation in self.dilations:
            layers += [nn.Conv2d(channels, width, 3, dilation=dilation), ChannelNorm(width), nn.ReLU()]
            channels = width
        layers += [nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, classes, 1)]
        self.layers = nn.Sequential(*layers)
        self.side = 1 + 2 * sum(self.dilations)

    def classify_patches(self, patches: Tensor) -> Tensor:
        """patches: (B, C, side, side) uint8 -> logits (B, K) of their center pixels."""
        logits: Tensor = self.layers(patches)
        return logits[:, :, 0, 0]

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> logits (B, K, H, W); the image is padded with black."""
        logits: Tensor = self.layers(F.pad(images, [self.side // 2] * 4))
        return logits


class FCN(nn.Module):
    """Down by pooling and up again, without skip connections.

    Source: Long et al. 2015, "Fully Convolutional Networks" (transposed); Noh et al. 2015, "Deconvolution Network"
    (unpooling: each value returns to the position of its maximum, the rest is 0).
    """

    def __init__(self, scale: Scale, classes: int, width: int, levels: int, unpool: bool) -> None:
        super().__init__()
        config = BackboneConfig(norm="batch")
        self.scale, self.unpool = scale, unpool
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            unit(config, before, after, 3) for before, after in zip([3, *widths], widths, strict=False)
        )
        self.middle = unit(config, widths[-1], widths[-1], 3)
        ups, steps = [], []
        for before in reversed(widths):
            steps.append(nn.Identity() if unpool else nn.ConvTranspose2d(before, before, 2, 2))
            ups.append(unit(config, before, max(before // 2, width), 3))
        self.steps, self.up = nn.ModuleList(steps), nn.ModuleList(ups)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> logits (B, K, H, W)."""
        x = self.scale(images)
        maxima, sizes = [], []
        for layer in self.down:
            x = layer(x)
            sizes.append(x.shape[2:])
            x, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            maxima.append(indices)
        x = self.middle(x)
        for step, layer in zip(self.steps, self.up, strict=True):
            size, indices = sizes.pop(), maxima.pop()
            if self.unpool:
                x = F.max_unpool2d(x, indices, [2, 2], output_size=list(size))
            else:
                x = crop_or_pad(step(x), size)
            x = layer(x)
        logits: Tensor = self.head(x)
        return logits


class UNet(nn.Module):
    """A backbone down, transposed convolutions up; at each size the backbone's map joins the upsampled one.

    Source: Ronneberger et al. 2015, "U-Net", figure 1, on the maps of any backbone and with padding.
    """

    def __init__(self, backbone: Convolutional, classes: int, config: BackboneConfig) -> None:
        super().__init__()
        self.backbone = backbone
        *finer, deepest = backbone.feature_maps
        channels, stride = deepest.channels, deepest.stride
        steps, joins = [], []
        for skip in reversed(finer):
            ratio = stride // skip.stride
            steps.append(nn.ConvTranspose2d(channels, skip.channels, ratio, ratio))
            joins.append(unit(config, 2 * skip.channels, skip.channels, 3))
            channels, stride = skip.channels, skip.stride
        self.steps, self.joins = nn.ModuleList(steps), nn.ModuleList(joins)
        self.head = nn.ConvTranspose2d(channels, classes, stride, stride)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> logits (B, K, H, W)."""
        *finer, x = self.backbone.maps(images)
        for step, join, skip in zip(self.steps, self.joins, reversed(finer), strict=True):
            x = join(torch.cat((skip, crop_or_pad(step(x), skip.shape[2:])), 1))
        return crop_or_pad(self.head(x), images.shape[2:])


def crop_or_pad(x: Tensor, size: torch.Size) -> Tensor:
    """Crop x (B, C, H, W), or pad it with zeros, at the right and the bottom to `size` (H', W')."""
    return F.pad(x, (0, size[1] - x.shape[3], 0, size[0] - x.shape[2]))


def make_network(config: SegmentConfig, dataset: Dataset) -> PatchNetwork | FCN | UNet:
    """Make the configured network for these images; K is 1 + categories. Raises: ConfigError."""
    classes = 1 + len(dataset.categories)
    if config.model == "unet":
        backbone = build_for(config, tuple(dataset.splits["train"].images.shape[1:]))
        backbone.normalize(dataset.mean, dataset.std)
        return UNet(backbone, classes, config.choices)

    def make() -> PatchNetwork | FCN:
        scale = Scale(dataset.mean, dataset.std)
        if config.model == "patch":
            return PatchNetwork(scale, classes, config.width)
        return FCN(scale, classes, config.width, config.levels, config.upsampling == "unpool")

    if config.width * 2**config.levels > SMALL_CHANNELS:
        refuse_weights(make, f"segment.model {config.model}", "a smaller --segment.width or --segment.levels")
    return make()
