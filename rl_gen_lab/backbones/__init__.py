"""Backbones by name: modules from observations to features, shared by agents and vision models.

`build("nature", (4, 84, 84))` returns a module with `out_features`; those that read pixels also say which feature maps
they give and what they cost. Frames enter as uint8, channels first, and are scaled here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from rl_gen_lab.backbones.config import Choices
from rl_gen_lab.backbones.convolutional import Convolutional, Impala, Nature, Small
from rl_gen_lab.backbones.densenet import DenseNet
from rl_gen_lab.backbones.fractalnet import FractalNet
from rl_gen_lab.backbones.resnet import ResNet, bottleneck, resnext
from rl_gen_lab.backbones.squeezenet import SqueezeNet
from rl_gen_lab.backbones.vector import MLP
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.compute.memory_budget import refuse_weights

Shape = tuple[int, ...]
FIXED: dict[str, Callable[[Shape], nn.Module]] = {
    "nature": Nature,
    "impala": Impala,
    "small": Small,
    "mlp": MLP,
    "mlp_small": partial(MLP, width=128),
    "mlp_tanh": partial(MLP, width=64, activation=nn.Tanh),
}
CHOOSABLE: dict[str, Callable[[Shape, Choices], Convolutional]] = {
    "resnet": ResNet,
    "resnet_bottleneck": bottleneck,
    "resnext": resnext,
    "densenet": DenseNet,
    "fractalnet": FractalNet,
    "squeezenet": SqueezeNet,
}
# What is no larger fits into any memory and is not counted first: torch takes a second to learn counting.
SURELY_SMALL, SURELY_SHALLOW = 1_024, 4  # channels of the stage after the last; depth
BACKBONES = (*FIXED, *CHOOSABLE)
WITH_PATHS = tuple(name for name in CHOOSABLE if name not in ("densenet", "squeezenet"))


def is_large(choices: Choices) -> bool:
    """Whether it is worth a second to see if such a backbone fits into memory."""
    return choices.width * 2**choices.stages > SURELY_SMALL or choices.depth > SURELY_SHALLOW


def build(name: str, shape: Shape, choices: Choices | None = None) -> nn.Module:
    """The backbone `name` for observations of `shape`, (C, H, W) uint8 or (D,) float32.

    "auto" is "small" for pixels and "mlp" for vectors. choices: None for the defaults; the older backbones take none.
    Raises: ConfigError for an unknown name, a backbone that cannot read such observations, or choices it does not take.
    """
    if name == "auto":
        name = "mlp" if len(shape) == 1 else "small"
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}.{suggest(name, BACKBONES)}")
    reads_vectors = name.startswith("mlp")
    if len(shape) != (1 if reads_vectors else 3):
        reads = "vectors" if reads_vectors else "pixels"
        raise ConfigError(f"backbone {name!r} reads {reads}, but observations have shape {shape}: use --backbone auto")
    if name in CHOOSABLE:
        choices = choices or Choices()
        if choices.drop_path and name not in WITH_PATHS:
            raise ConfigError(f"backbone {name!r} has no paths to drop: drop_path is for {', '.join(WITH_PATHS)}")
        if is_large(choices):
            less = "smaller choices: width, stages or depth"
            refuse_weights(lambda: CHOOSABLE[name](shape, choices), f"backbone {name!r}", less)
        return CHOOSABLE[name](shape, choices)
    if choices not in (None, Choices()):
        raise ConfigError(f"backbone {name!r} is fixed by its paper; choices are for {', '.join(CHOOSABLE)}")
    return FIXED[name](shape)


def build_maps(name: str, shape: Shape, choices: Choices | None = None, usual: Choices | None = None) -> Convolutional:
    """The backbone `name` for vision models, which read its `maps`: without a fully connected layer. As `build`.

    usual: a task's own defaults: as `choices` nobody chose them, so a backbone that takes none is built without.
    """
    backbone = build(name, shape, None if name in FIXED and choices == usual else choices)
    if not isinstance(backbone, Convolutional):
        raise ConfigError(f"backbone {name!r} gives no feature maps")
    backbone.fc, backbone.out_features = None, backbone.feature_maps[-1].channels
    return backbone
