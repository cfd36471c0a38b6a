"""Backbones by name: networks from observations to features, shared by agents and vision models.

`build("nature", (4, 84, 84))` returns a module with `out_features`. Frames enter as uint8, channels first; the backbone
scales them, nothing else does. The table holds text: only the family in use is imported. Sizes: `backbones/maps.py`.
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

    "auto" is "small" for pixels, "tiny" where these are too few for it, and "mlp" for vectors.
    Raises: ConfigError for an unknown name or a backbone that cannot read such observations.
    """
    network: nn.Module = constructor(name, shape)(shape)
    return network


def constructor(name: str, shape: Shape) -> Callable[..., Any]:
    """Import the class or function that makes the backbone `name`. Raises: ConfigError, as `build`."""
    if name == "auto":
        name = "mlp" if len(shape) == 1 else "tiny" if min(shape[1:]) < SMALLEST_FRAME else "small"
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}.{suggest(name, BACKBONES)}")
    reads_vectors = name.startswith("mlp")
    if len(shape) != (1 if reads_vectors else 3):
        reads = "vectors" if reads_vectors else "pixels"
        raise ConfigError(f"backbone {name!r} reads {reads}, but observations have shape {shape}: use --backbone auto")
    module, _, attribute = BACKBONES[name].partition(":")
    make: Callable[..., Any] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return make
