"""Backbones by name: networks from observations to features, shared by agents and vision models.

`build("nature", (4, 84, 84))`, or of layers written out, returns a module with `out_features`. Frames enter as uint8,
channels first; the backbone scales them, nothing else does. Only the family in use is imported. Sizes: `maps.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rl_gen_lab.cli.errors import ConfigError, suggest

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
SMALLEST_FRAME = 36  # height and width that nature and small need [px]
# name -> module of this package and the class or function in it; called with the shape of an observation
FIXED = {
    "nature": "convolutional:Nature",
    "impala": "convolutional:Impala",
    "small": "convolutional:Small",
    "tiny": "convolutional:Tiny",
    "mlp": "vector:MLP",
    "mlp_small": "vector:mlp_small",
    "mlp_tanh": "vector:mlp_tanh",
}
# called with the shape and, if other than the default, a BackboneConfig
CONFIGURABLE = {
    "resnet": "resnet:ResNet",
    "resnet_bottleneck": "resnet:bottleneck",
    "resnext": "resnet:resnext",
    "densenet": "densenet:DenseNet",
    "fractalnet": "fractalnet:FractalNet",
    "squeezenet": "squeezenet:SqueezeNet",
}
BACKBONES = FIXED | CONFIGURABLE


def build(name: str, shape: Shape) -> nn.Module:
    """Make the backbone `name` in its default size, for observations of `shape`, (C, H, W) uint8 or (D,) float32.

    "auto": "small" for pixels, "tiny" for few of them, "mlp" for vectors. Raises: ConfigError for what cannot be built.
    """
    network: nn.Module = constructor(name, shape)(shape)
    return network


def constructor(name: str, shape: Shape) -> Callable[..., Any]:
    """Import the class or function that makes the backbone `name`. Raises: ConfigError, as `build`."""
    if name == "auto":
        name = "mlp" if len(shape) == 1 else "tiny" if min(shape[1:]) < SMALLEST_FRAME else "small"
    if "-" in name and len(shape) == 3:  # written as text, see described.py
        return lambda shape: import_module(f"{__name__}.convolutional").Described(name, shape)
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}.{suggest(name, BACKBONES)}")
    reads_vectors = name.startswith("mlp")
    if len(shape) != (1 if reads_vectors else 3):
        reads = "vectors" if reads_vectors else "pixels"
        raise ConfigError(f"backbone {name!r} reads {reads}, but observations have shape {shape}: use --backbone auto")
    module, _, attribute = BACKBONES[name].partition(":")
    make: Callable[..., Any] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return make
