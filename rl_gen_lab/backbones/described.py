"""Convolutional backbones written as text: "16x8s4-32x4s2-32x3s1-256" is the network `small`.

Layers in order, joined by "-": `16x8s4` is a convolution of 16 channels, 8x8 pixels, stride 4, with ReLU; a last number
is a fully connected layer of so many units, with ReLU; `p` before it replaces the last map by its row means and column
means (B, C * (H + W)), which say where things are with far fewer weights than the map itself.

`parse` needs neither torch nor numpy: packed files are decoded with it alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from rl_gen_lab.cli.errors import ConfigError

KNOWN = {
    "nature": "32x8s4-64x4s2-64x3s1-512",
    "small": "16x8s4-32x4s2-32x3s1-256",
    "tiny": "16x3s1-128",
}
CONVOLUTION = re.compile(r"([1-9]\d{0,3})x([1-9]\d?)s([1-9]\d?)", re.ASCII)
UNITS = re.compile(r"[1-9]\d{0,4}", re.ASCII)
PROFILES = "p"
MOST_LAYERS = 16


@dataclass(frozen=True)
class Description:
    """A backbone as plain values. convolutions: (channels, kernel, stride) each; units: of the last layer."""

    convolutions: tuple[tuple[int, int, int], ...]
    profiles: bool
    units: int

    def maps(self, shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Shapes (C, H, W) of frames of `shape` and of the map behind each convolution.

        Raises: ConfigError for frames that are too small.
        """
        channels, height, width = shape
        found = [(channels, height, width)]
        for out, kernel, stride in self.convolutions:
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            if min(height, width) < 1:
                raise ConfigError(f"frames of {shape} are too small for this backbone: a map would have no pixel")
            found.append((out, height, width))
        return found

    def map_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape (C, H, W) of the last map for frames of `shape`. Raises: ConfigError, as `maps`."""
        return self.maps(shape)[-1]

    def features(self, shape: tuple[int, ...]) -> int:
        """Numbers that the fully connected layer reads."""
        channels, height, width = self.map_shape(shape)
        return channels * (height + width) if self.profiles else channels * height * width

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors of the network's state for frames of `shape`, by name, in the state's order."""
        found: dict[str, tuple[int, ...]] = {}
        channels = shape[0]
        for index, (out, kernel, _) in enumerate(self.convolutions):
            found[f"conv.{2 * index}.weight"] = (out, channels, kernel, kernel)
            found[f"conv.{2 * index}.bias"] = (out,)
            if index == 0:
                found |= {"conv.0.mean": tuple(shape), "conv.0.scale": ()}
            channels = out
        return found | {"fc.weight": (self.units, self.features(shape)), "fc.bias": (self.units,)}

    def numbers(self, shape: tuple[int, ...]) -> int:
        """Count the numbers of the state."""
        return sum(prod(size) for size in self.shapes(shape).values())


def parse(text: str) -> Description:
    """Read a description, or one of `KNOWN` by its name. Raises: ConfigError saying which layer cannot be read."""
    *layers, last = KNOWN.get(text, text).split("-")
    profiles = bool(layers) and layers[-1] == PROFILES
    convolutions = []
    for layer in layers[:-1] if profiles else layers:
        found = CONVOLUTION.fullmatch(layer)
        if found is None:
            raise ConfigError(f"backbone {text!r}: {layer!r} is no layer; write 16x8s4 for 16 channels, 8x8, stride 4")
        channels, kernel, stride = map(int, found.groups())
        convolutions.append((channels, kernel, stride))
    if not convolutions or len(convolutions) > MOST_LAYERS or not UNITS.fullmatch(last):
        raise ConfigError(
            f"backbone {text!r}: it needs 1 to {MOST_LAYERS} convolutions and ends with the units of a fully connected"
            " layer, as 16x8s4-32x4s2-32x3s1-256"
        )
    return Description(tuple(convolutions), profiles, int(last))
