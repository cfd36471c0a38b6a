"""Backbones of any size, and for vision models: feature maps without a fully connected layer."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from rl_gen_lab.backbones import CONFIGURABLE, Shape, constructor
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.memory_budget import refuse_weights

# A network up to this size fits into any memory; its weights are not counted, which would take a second.
SMALL_CHANNELS, SMALL_DEPTH = 1_024, 4  # channels of the stage after the last; depth
WITH_PATHS = tuple(name for name in CONFIGURABLE if name not in ("densenet", "squeezenet"))


class BackboneSettings(Protocol):
    """Settings of a model on a backbone; made without arguments, they are the model's defaults."""

    @property
    def backbone(self) -> str:
        """Name of the backbone."""

    @property
    def choices(self) -> BackboneConfig:
        """Its size and layers."""


def build_for(settings: BackboneSettings, shape: Shape) -> Convolutional:
    """Make the backbone of a vision model, which reads its `maps`, for images of `shape` (C, H, W).

    A backbone that is fixed by its paper or written layer by layer ignores the model's default `choices`: the user did
    not choose them.
    Raises: ConfigError, as `build_configured`, and for a backbone without feature maps.
    """
    ignored = settings.backbone not in CONFIGURABLE and settings.choices == type(settings)().choices
    return build_maps(settings.backbone, shape, None if ignored else settings.choices)


def build_maps(name: str, shape: Shape, config: BackboneConfig | None = None) -> Convolutional:
    """Make the backbone `name` without its fully connected layer. As `build_configured`.

    Raises: ConfigError also for a backbone without feature maps.
    """
    backbone = build_configured(name, shape, config)
    if not isinstance(backbone, Convolutional):
        raise ConfigError(f"backbone {name!r} gives no feature maps")
    backbone.fc, backbone.out_features = None, backbone.feature_maps[-1].channels
    return backbone


def build_configured(name: str, shape: Shape, config: BackboneConfig | None = None) -> nn.Module:
    """Make the backbone `name` with the size and layers of `config` (None: the defaults), as `backbones.build` does.

    Raises: ConfigError also for settings that the backbone does not have and for weights that do not fit into memory.
    """
    make = constructor(name, shape)
    config = config or BackboneConfig()
    if name in CONFIGURABLE:
        if config.drop_path and name not in WITH_PATHS:
            raise ConfigError(f"backbone {name!r} has no paths to drop: drop_path is for {', '.join(WITH_PATHS)}")
        if is_large(config):
            less = "smaller choices: width, stages or depth"
            refuse_weights(lambda: make(shape, config), f"backbone {name!r}", less)
        network: nn.Module = make(shape, config)
        return network
    if config != BackboneConfig():
        raise ConfigError(
            f"backbone {name!r} is fixed by its paper or its text; choices are for {', '.join(CONFIGURABLE)}"
        )
    network = make(shape)
    return network


def is_large(config: BackboneConfig) -> bool:
    """Return whether the memory check, which takes a second, is needed before building."""
    return config.width * 2**config.stages > SMALL_CHANNELS or config.depth > SMALL_DEPTH
