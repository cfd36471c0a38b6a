"""Backbones by name: modules from observations to features, shared by agents and vision models.

`build("nature", (4, 84, 84))` returns a module with `out_features`. Frames enter as uint8, channels first, and are
scaled here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from rl_gen_lab.backbones.convolutional import Impala, Nature, Small
from rl_gen_lab.backbones.vector import MLP
from rl_gen_lab.errors import ConfigError, suggest

Shape = tuple[int, ...]
BACKBONES: dict[str, Callable[[Shape], nn.Module]] = {
    "nature": Nature,
    "impala": Impala,
    "small": Small,
    "mlp": MLP,
    "mlp_small": partial(MLP, width=128),
    "mlp_tanh": partial(MLP, width=64, activation=nn.Tanh),
}


def build(name: str, shape: Shape) -> nn.Module:
    """The backbone `name` for observations of `shape`, (C, H, W) uint8 or (D,) float32.

    "auto" is "small" for pixels and "mlp" for vectors.
    Raises: ConfigError for an unknown name or a backbone that cannot read such observations.
    """
    if name == "auto":
        name = "mlp" if len(shape) == 1 else "small"
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}.{suggest(name, BACKBONES)}")
    reads_vectors = name.startswith("mlp")
    if reads_vectors != (len(shape) == 1):
        reads = "vectors" if reads_vectors else "pixels"
        raise ConfigError(f"backbone {name!r} reads {reads}, but observations have shape {shape}")
    return BACKBONES[name](shape)
