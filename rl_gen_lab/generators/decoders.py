"""Decoders: from a code to a map of numbers for each pixel, from which a likelihood is made."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

COARSEST = 32  # pixels from one position of the first map to the next
BLOCK = 4  # pixels of a side that the last layer fills at once


class UpsamplingDecoder(nn.Module):
    """A fully connected layer makes a coarse map, convolutions and pixel shuffles or transposed convolutions refine it.

    Source: Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network" (pixel shuffle); Radford et al. 2016, "DCGAN", section 3 (transposed convolutions).
    """

    def __init__(self, code: int | None, channels: int, size: tuple[int, int], width: int, transposed: bool) -> None:
        """code: numbers of a code (None: `refine` alone is used); channels: of a pixel; size: (H, W) [px]."""
        super().__init__()
        self.size = size
        self.grid = math.ceil(size[0] / COARSEST), math.ceil(size[1] / COARSEST)
        self.first = None if code is None else nn.Linear(code, width * self.grid[0] * self.grid[1])
        layers: list[nn.Module] = []
        before = width
        for after in (width, 3 * width // 4, width // 2):
            layers += [nn.ReLU(), *_double(before, after, transposed)]
            before = after
        layers += [nn.ReLU(), nn.Conv2d(before, before, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.last = _last_layer(before, channels)

    def forward(self, code: Tensor) -> Tensor:
        """code: (B, Z) -> (B, channels, H, W) float32."""
        assert self.first is not None
        return self.refine(self.first(code).unflatten(1, (-1, *self.grid)))

    def refine(self, coarse: Tensor) -> Tensor:
        """coarse: (B, width, H / 32, W / 32) -> (B, channels, H, W) float32."""
        out: Tensor = self.last(self.layers(coarse))
        return out[..., : self.size[0], : self.size[1]].float()


class BroadcastDecoder(nn.Module):
    """The code is shown to every position, beside waves of the position's coordinates.

    The code scales and shifts the activations (FiLM), so that a layer draws "something at this place". Source: Watters
    et al. 2019, "Spatial broadcast decoder"; Perez et al. 2018, "FiLM"; Tancik et al. 2020, "Fourier features".
    """

    waves: Tensor

    def __init__(self, code: int, channels: int, size: tuple[int, int], width: int) -> None:
        """As `UpsamplingDecoder`; width: channels of every layer."""
        super().__init__()
        self.size = size
        grid = math.ceil(size[0] / BLOCK), math.ceil(size[1] / BLOCK)
        self.register_buffer("waves", fourier_features(*grid), persistent=False)
        self.inputs = nn.Conv2d(self.waves.shape[1], width, 1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(3))
        self.modulations = nn.ModuleList(nn.Linear(code, 2 * width) for _ in range(4))
        self.last = _last_layer(width, channels)

    def forward(self, code: Tensor) -> Tensor:
        """code: (B, Z) -> (B, channels, H, W) float32."""
        x = self._modulate(self.inputs(self.waves), code, 0)
        for number, layer in enumerate(self.layers, 1):
            x = self._modulate(layer(x), code, number)
        out: Tensor = self.last(x)
        return out[..., : self.size[0], : self.size[1]].float()

    def _modulate(self, x: Tensor, code: Tensor, number: int) -> Tensor:
        scale, shift = self.modulations[number](code)[:, :, None, None].chunk(2, 1)
        return torch.relu(x * (1 + scale) + shift)


def fourier_features(height: int, width: int, octaves: int = 6) -> Tensor:
    """Return sines and cosines of the coordinates of a grid, (1, 2 + 4 * octaves, height, width)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    place = torch.stack((y, x))
    waves = [place, *(f(math.pi * 2**octave * place) for octave in range(octaves) for f in (torch.sin, torch.cos))]
    return torch.cat(waves)[None]


def _double(before: int, after: int, transposed: bool) -> list[nn.Module]:
    if transposed:
        return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    return [nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2)]


def _last_layer(width: int, channels: int) -> nn.Sequential:
    conv = nn.Conv2d(width, channels * BLOCK**2, 1)
    nn.init.normal_(conv.weight, std=0.5 / math.sqrt(width))  # at first, what does not depend on the code decides
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.PixelShuffle(BLOCK))
