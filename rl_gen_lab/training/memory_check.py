"""The memory that a training needs, counted before it starts."""

from __future__ import annotations

import torch
from torch import nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_for, is_large
from rl_gen_lab.cli.unused import uses
from rl_gen_lab.compute import memory_budget
from rl_gen_lab.training.config import Config
from rl_gen_lab.vision.segmentation.networks import PatchNetwork


def check_backbone_memory(config: Config, shape: tuple[int, ...], device: torch.device) -> None:
    """Apply `check_training_memory` to a backbone that is not built yet. shape: (C, H, W) of the images."""
    settings = getattr(config, config.task)
    if hasattr(settings, "backbone") and uses(settings, "backbone") and is_large(settings.choices):
        with torch.device("meta"):
            backbone = build_for(settings, shape)
        check_training_memory(config, backbone, shape, device)


def check_training_memory(config: Config, network: nn.Module, shape: tuple[int, ...], device: torch.device) -> None:
    """Raise ConfigError when training needs more memory than is free, by what can be counted in advance.

    shape: (C, H, W) of the images.
    """
    batch = config.batch_size
    needed = memory_budget.learning_bytes(network, config.optimizer.name, config.optimizer.momentum)
    weights = sum(weight.numel() for weight in network.parameters())
    what = f"to train {weights:,} weights takes, beside them, at least"
    choices = f"--{config.task}.choices of less width, stages or depth"
    memory_budget.refuse_too_large(needed, what, device, choices)
    backbone = next((module for module in network.modules() if isinstance(module, Convolutional)), None)
    if backbone is not None:
        bytes_per_number = 2 if config.device.bfloat16 else 4
        activations = backbone.counts().activations
        needed += memory_budget.backward_bytes(backbone, activations, batch, bytes_per_number)
        what = f"to train {weights:,} weights on {batch} images at a time takes, beside them, at least"
        memory_budget.refuse_too_large(needed, what, device, f"a smaller --batch-size or {choices}")
    elif isinstance(network, PatchNetwork):
        needed += 5 * batch * config.segment.patches * shape[0] * network.side**2  # uint8, and float32 to compute with
        what = f"{config.segment.patches:,} patches of {batch} images at a time take, beside the weights, at least"
        memory_budget.refuse_too_large(needed, what, device, "fewer --segment.patches or a smaller --batch-size")
    else:
        needed += 5 * batch * shape[0] * shape[1] * shape[2]
        memory_budget.refuse_too_large(
            needed, f"{batch} images at a time take at least", device, "a smaller --batch-size"
        )
