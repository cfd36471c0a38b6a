"""Parameter groups of an optimizer: all of a network, or a pretrained backbone apart from what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import nn


def backbones_of(network: nn.Module) -> list[nn.Module]:
    """Return the backbones of an agent's network: one, or several."""
    newest = getattr(network, "newest", network)  # of an ensemble, what learns: one network or several
    members, names = getattr(newest, "members", [newest]), ("backbone", "value_backbone")
    candidates = (getattr(member, name, None) for member in members for name in names)
    return [module for module in candidates if module is not None]


def parameter_groups(
    network: nn.Module, learning_rate: float, backbone_factor: float | None, parts: Sequence[nn.Module] = ()
) -> list[dict[str, Any]]:
    """Return one group, or with a pretrained backbone one for its parameters and one for all others.

    backbone_factor: the backbone's learning rate in units of `learning_rate`; None for one that starts untrained.
    parts: modules of the network that this optimizer trains (none: all of it). Frozen parameters are in no group.
    """
    parameters = [parameter for part in parts or [network] for parameter in part.parameters()]
    if backbone_factor is None:
        return [{"params": parameters}]
    pretrained = {id(parameter) for backbone in backbones_of(network) for parameter in backbone.parameters()}
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trainable if id(parameter) not in pretrained]},
        {
            "params": [parameter for parameter in trainable if id(parameter) in pretrained],
            "lr": learning_rate * backbone_factor,
            "factor": backbone_factor,
        },
    ]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set each group's learning rate, times the factor of a pretrained backbone."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("factor", 1.0)
