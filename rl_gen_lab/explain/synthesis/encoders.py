"""Encoders of pictures without pretrained weights: random filters of many sizes, a random deep network, means of
patches, or the layers of a network that this project trained.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.classic.kmeans import kmeans, starts
from rl_gen_lab.explain.grad_cam import checked_layer, layer_names
from rl_gen_lab.explain.layers import BODY, parts

SIZES, FILTERS = (3, 5, 7, 11, 15, 23), 48  # of one layer: sides, filters of each
DEEP = (32, 32, 64, 64, 96, 96)  # maps of the layers of the deep network; halved after every second
PATCH, MEANS, DRAWN = 9, 96, 6_000  # of k-means: side, number, patches that are clustered

# Pictures (B, C, H, W) float32 in [0, 1], C = 1 or 3 -> maps of the layers, each (B, C', H', W').
Encoder = Callable[[Tensor], list[Tensor]]


def standardized(encoder: Encoder, picture: Tensor) -> Encoder:
    """Return the encoder of pictures less the mean color of one, over its standard deviation.

    Random filters do not know what is usual: without this a light picture is one large map. picture: (1, C, H, W).
    """
    mean, scale = picture.mean((2, 3), keepdim=True), picture.std().clamp(min=1e-3)
    return lambda pictures: encoder((pictures - mean) / scale)


def one_layer(seed: int, channels: int = 3, sizes: Sequence[int] = SIZES, filters: int = FILTERS) -> Encoder:
    """Return random filters of many sizes and a ReLU: one layer, whose maps belong together.

    Source: Ustyuzhaninov et al. 2016, "Texture synthesis using shallow convolutional networks with random filters".
    """
    generator = torch.Generator().manual_seed(seed)
    return _bank([torch.randn(filters, channels, size, size, generator=generator) for size in sizes])


def patch_means(seed: int, picture: Tensor, side: int = PATCH, means: int = MEANS) -> Encoder:
    """Return filters that are the k-means of a picture's own patches, each patch less its mean.

    Source: Ustyuzhaninov et al. 2017, "What does it take to generate natural textures?"; Coates & Ng 2012.
    picture: (1, C, H, W). The small filters of `one_layer` see what is finer.
    """
    generator = torch.Generator().manual_seed(seed)
    patches = F.unfold(picture, side)[0].T
    patches = patches[torch.randperm(len(patches), generator=generator)[:DRAWN]]
    patches = patches - patches.mean(1, keepdim=True)
    found, _ = kmeans(patches, starts(patches, min(means, len(patches)), generator), 20)
    channels = picture.shape[1]
    small = torch.randn(FILTERS, channels, 3, 3, generator=generator)
    return _bank([small, torch.cat((found, -found)).reshape(-1, channels, side, side)])


def _bank(banks: Sequence[Tensor]) -> Encoder:
    """Return filters, each of length 1, with a ReLU; borders mirror the picture, so that all maps are of its size."""
    weights = [weight / weight.flatten(1).norm(dim=1).clamp(min=1e-6)[:, None, None, None] for weight in banks]

    def encode(pictures: Tensor) -> list[Tensor]:
        maps = [F.conv2d(padded(pictures, weight.shape[2] // 2), weight).relu() for weight in weights]
        return [torch.cat(maps, 1)]

    return encode


def padded(pictures: Tensor, by: int) -> Tensor:
    """Return pictures with mirrored borders, as far as they reach."""
    tall, wide = (min(by, side - 1) for side in pictures.shape[2:])
    mirrored = F.pad(pictures, (wide, wide, tall, tall), mode="reflect")
    return F.pad(mirrored, (by - wide, by - wide, by - tall, by - tall), mode="replicate")


def deep(seed: int, widths: Sequence[int] = DEEP, channels: int = 3) -> Encoder:
    """Return a random network of 3 x 3 filters, whose maps are halved after every second layer: the maps of each layer.

    Each layer has weights of He's variance, so that maps keep their size (in the mean).
    Source: He, Wang & Hopcroft 2016, "A powerful generative model using random weights".
    """
    generator = torch.Generator().manual_seed(seed)
    ins = (channels, *widths[:-1])
    weights = [
        torch.randn(n, m, 3, 3, generator=generator) * (2 / (9 * m)) ** 0.5 for m, n in zip(ins, widths, strict=True)
    ]

    def encode(pictures: Tensor) -> list[Tensor]:
        maps = []
        for number, weight in enumerate(weights):
            pictures = F.conv2d(padded(pictures, 1), weight).relu()
            maps.append(pictures)
            if number % 2 and min(pictures.shape[2:]) > 3:
                pictures = F.avg_pool2d(pictures, 2)
        return maps

    return encode


def of_network(network: nn.Module, names: Sequence[str], run: Callable[[Tensor], Any]) -> Encoder:
    """Return the maps of named layers of a trained network, before a ReLU that follows. run: pictures -> any.

    Maps of the networks of an ensemble are joined.
    """

    def encode(pictures: Tensor) -> list[Tensor]:
        found: dict[str, list[Tensor]] = {name: [] for name in names}

        def keep(name: str) -> Callable[..., Tensor]:
            def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
                found[name].append(output)
                return output.clone()  # for a ReLU in place, which would change what is kept

            return hook

        handles = [module.register_forward_hook(keep(name)) for name in names for module in parts(network, name)]
        try:
            run(pictures)
        finally:
            for handle in handles:
                handle.remove()
        return [torch.cat(found[name], 1) for name in names]

    return encode


def of_task(task: Any, names: Sequence[str] = ()) -> Encoder:
    """Return the maps of a trained vision model's layers, of pictures of any size that are `standardized`.

    The mean frame that its first layer subtracts is that of its game and of the game's size, so none is subtracted.
    names: of convolutions, none: those of its backbone. Raises: ConfigError for a layer that does not exist.
    """
    network = copy.deepcopy(task.network)
    known = layer_names(network)
    body = [name for name in known if BODY.search(name)] or known
    wanted = [checked_layer(network, name) for name in names] or body
    for module in network.modules():
        if isinstance(module, ScaledConv2d):
            module.mean, module.scale = torch.zeros(module.in_channels, 1, 1), torch.ones(())
    backbone = getattr(network, "backbone", None)
    run = network if backbone is None else backbone.maps
    return of_network(network, wanted, lambda pictures: run(pictures.expand(-1, 3, -1, -1)))  # gray ones as well
