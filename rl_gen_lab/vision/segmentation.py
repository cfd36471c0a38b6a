"""What class every pixel is of: by the patch around it, by down- and up-sampling, or by a U-Net on any backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.blocks import unit
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import SMALL_CHANNELS, build_for
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.memory_budget import refuse_weights
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.smoothing import check_smoothing

EVALUATION_BATCH = 8
MOST_LEVELS = 32
NEAR = 3  # pixels: what lies so close to an object must be told from it


@dataclass(frozen=True)
class SegmentConfig:
    """Semantic segmentation."""

    model: Literal["patch", "fcn", "unet"] = "unet"
    # Backbone of the U-Net; its first stride and stages say how fine and how coarse its maps are.
    backbone: str = "resnet"
    choices: BackboneConfig = field(
        default_factory=lambda: BackboneConfig(width=8, stages=4, depth=1, first_stride=1, norm="batch")
    )
    # Channels of the first layer of patch and fcn.
    width: int = 16
    # How the fcn comes back to full size: transposed convolutions, or pooling undone where its maxima were.
    upsampling: Literal["transposed", "unpool"] = "transposed"
    # Halvings of the fcn.
    levels: int = 3
    # Patches of an image in an update: a third on objects, a third within a few pixels of them, a third anywhere.
    patches: int = 256
    # Share of a class's certainty that is spread over all classes in the loss.
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)
        if self.width < 1 or self.levels < 1 or self.patches < 3:
            raise ConfigError("width and levels must be at least 1, patches at least 3")


class Scale(nn.Module):
    """Bytes to numbers of mean 0 and deviation 1. mean, std: (C,) of each channel, for pixels in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * mean[:, None, None])
        self.register_buffer("std", 255 * std[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> same shape, float32."""
        return (images.float() - self.mean) / self.std


class ChannelNorm(nn.LayerNorm):
    """Normalise each position over its channels. Source: Ba et al. 2016, "Layer Normalization"."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Patch(nn.Module):
    """Classify the middle of a patch. On a whole image it gives what it would for the patch around every pixel.

    Convolutions without padding, their taps ever further apart, see a patch of `side` pixels and nothing else. Each
    position is normalised by itself: chosen patches and whole images have different statistics.
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

    def patches(self, patches: Tensor) -> Tensor:
        """patches: (B, C, side, side) uint8 -> logits (B, K) of their middles."""
        logits: Tensor = self.layers(patches)
        return logits[:, :, 0, 0]

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> logits (B, K, H, W); outside of an image all is black."""
        logits: Tensor = self.layers(F.pad(images, [self.side // 2] * 4))
        return logits


class FCN(nn.Module):
    """Down by pooling and up again, without short cuts from one side to the other.

    Source: Long et al. 2015, "Fully Convolutional Networks" (transposed); Noh et al. 2015, "Deconvolution Network"
    (pooling undone: every value goes back to where its maximum was, the rest is 0).
    """

    def __init__(self, scale: Scale, classes: int, width: int, levels: int, unpool: bool) -> None:
        super().__init__()
        choices = BackboneConfig(norm="batch")
        self.scale, self.unpool = scale, unpool
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            unit(choices, before, after, 3) for before, after in zip([3, *widths], widths, strict=False)
        )
        self.middle = unit(choices, widths[-1], widths[-1], 3)
        ups, steps = [], []
        for before in reversed(widths):
            steps.append(nn.Identity() if unpool else nn.ConvTranspose2d(before, before, 2, 2))
            ups.append(unit(choices, before, max(before // 2, width), 3))
        self.steps, self.up = nn.ModuleList(steps), nn.ModuleList(ups)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> logits (B, K, H, W)."""
        x = self.scale(images)
        places, sizes = [], []
        for layer in self.down:
            x = layer(x)
            sizes.append(x.shape[2:])
            x, where = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            places.append(where)
        x = self.middle(x)
        for step, layer in zip(self.steps, self.up, strict=True):
            size, where = sizes.pop(), places.pop()
            x = F.max_unpool2d(x, where, [2, 2], output_size=list(size)) if self.unpool else fit(step(x), size)
            x = layer(x)
        logits: Tensor = self.head(x)
        return logits


class UNet(nn.Module):
    """A backbone down, transposed convolutions up, and at each size the backbone's map beside what comes from below.

    Source: Ronneberger et al. 2015, "U-Net", figure 1, on the maps of any backbone and with padding.
    """

    def __init__(self, backbone: Convolutional, classes: int, choices: BackboneConfig) -> None:
        super().__init__()
        self.backbone = backbone
        *finer, deepest = backbone.feature_maps
        channels, stride = deepest.channels, deepest.stride
        steps, joins = [], []
        for skip in reversed(finer):
            ratio = stride // skip.stride
            steps.append(nn.ConvTranspose2d(channels, skip.channels, ratio, ratio))
            joins.append(unit(choices, 2 * skip.channels, skip.channels, 3))
            channels, stride = skip.channels, skip.stride
        self.steps, self.joins = nn.ModuleList(steps), nn.ModuleList(joins)
        self.head = nn.ConvTranspose2d(channels, classes, stride, stride)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> logits (B, K, H, W)."""
        *finer, x = self.backbone.maps(images)
        for step, join, skip in zip(self.steps, self.joins, reversed(finer), strict=True):
            x = join(torch.cat((skip, fit(step(x), skip.shape[2:])), 1))
        return fit(self.head(x), images.shape[2:])


def fit(x: Tensor, size: torch.Size) -> Tensor:
    """x: (B, C, H, W) cut, or filled with zeros, at the right and the bottom to `size` (H', W')."""
    return F.pad(x, (0, size[1] - x.shape[3], 0, size[0] - x.shape[2]))


def make_network(config: SegmentConfig, dataset: Dataset) -> Patch | FCN | UNet:
    """The network of a configuration for these images; K is 1 + categories. Raises: ConfigError."""
    classes = 1 + len(dataset.categories)
    if config.model == "unet":
        backbone = build_for(config, tuple(dataset.splits["train"].images.shape[1:]))
        backbone.normalise(dataset.mean, dataset.std)
        return UNet(backbone, classes, config.choices)
    if config.levels > MOST_LEVELS:
        raise ConfigError(f"segment.levels must be at most {MOST_LEVELS}, not {config.levels}")

    def make() -> Patch | FCN:
        scale = Scale(dataset.mean, dataset.std)
        if config.model == "patch":
            return Patch(scale, classes, config.width)
        return FCN(scale, classes, config.width, config.levels, config.upsampling == "unpool")

    if config.width * 2**config.levels > SMALL_CHANNELS:
        refuse_weights(make, f"segment.model {config.model}", "a smaller --segment.width or --segment.levels")
    return make()


class Segment:
    """The task. Pixels are weighted by 1 / sqrt of their class's share, so that a ball of 8 pixels counts.

    Patches are not: most of them are on or near objects anyway.
    """

    goal = "miou"

    def __init__(self, config: SegmentConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: DataError where objects have no masks, ConfigError."""
        self.config, self.device, self.categories = config, device, dataset.categories
        self.network: nn.Module = make_network(config, dataset).to(device)
        self.targets = {
            name: torch.stack([split.semantic(i).to(torch.uint8) for i in range(len(split))])
            for name, split in dataset.splits.items()
        }
        share = torch.bincount(self.targets["train"].flatten(), minlength=1 + len(self.categories)).float()
        weights = (share / share.sum()).clamp(min=1e-6).rsqrt()
        self.weights = (weights / weights.mean()).to(device)

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Cross-entropy [nats], the (weighted) mean over pixels or patches. indices: (B,) int64."""
        images = split.images[indices].to(self.device)
        targets = self.targets[split.name][indices].to(self.device).long()
        if isinstance(self.network, Patch):
            patches, targets = self._cut(self.network.side, images, targets)
            logits, weights = self.network.patches(patches), None
        else:
            logits, weights = self.network(images), self.weights
        smoothing = self.config.label_smoothing
        return {"loss": F.cross_entropy(logits.float(), targets, weights, label_smoothing=smoothing)}

    def _cut(self, side: int, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (B P, C, side, side) and their middles' classes (B P,): a third on objects, near them, anywhere."""
        size, width = targets[0].numel(), targets.shape[2]
        third = self.config.patches // 3
        padded = F.pad(images, [side // 2] * 4)
        windows = padded.unfold(2, side, 1).unfold(3, side, 1)  # (B, C, H, W, side, side), a view
        patches, classes = [], []
        for image, target in zip(windows, targets, strict=True):
            near = F.max_pool2d((target > 0).float()[None], 2 * NEAR + 1, 1, NEAR)
            places = torch.randint(size, (self.config.patches - 2 * third,), device=target.device)
            for shown in (near, target > 0):
                candidates = shown.flatten().nonzero()[:, 0]
                if len(candidates):
                    chosen = candidates[torch.randint(len(candidates), (third,), device=target.device)]
                    places = torch.cat((places, chosen))
            patches.append(image[:, places // width, places % width].transpose(0, 1))
            classes.append(target.flatten()[places])
        return torch.cat(patches), torch.cat(classes)

    def predict(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> classes (B, H, W) int64; 0 is background."""
        logits: Tensor = self.network(images.to(self.device))
        return logits.argmax(1).cpu()

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """`metrics` of a split."""
        classes = 1 + len(self.categories)
        confusion = torch.zeros(classes, classes, dtype=torch.int64)
        for start in range(0, len(split), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            pairs = classes * self.targets[split.name][part].long() + self.predict(split.images[part])
            confusion += torch.bincount(pairs.flatten(), minlength=classes**2).reshape(classes, classes)
            on_image(min(start + EVALUATION_BATCH, len(split)))
        return metrics(confusion, self.categories)


def metrics(confusion: Tensor, categories: tuple[str, ...]) -> dict[str, float]:
    """Intersection over union of each category over all pixels of a split, and `miou`, the mean of them.

    confusion: (K, K) int64, rows are the truth, 0 is background, which `miou` leaves out: it is nearly all there is. A
    category that is neither there nor found counts in no mean.
    """
    hit = confusion.diagonal().double()
    union = confusion.sum(0) + confusion.sum(1) - hit
    scores = {f"iou/{name}": float(hit[i] / union[i]) for i, name in enumerate(categories, 1) if union[i] > 0}
    mean = sum(scores.values()) / len(scores) if scores else 0.0
    return {"miou": mean, "accuracy": float(hit.sum() / confusion.sum())} | scores
