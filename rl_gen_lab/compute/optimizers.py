"""How weights are changed: torch's optimisers and schedules by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau, StepLR

from rl_gen_lab.cli.errors import ConfigError


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, step size and regularisation."""

    # Rule by which gradients change the weights.
    name: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"] = "adamw"
    # Step size at the start.
    learning_rate: float = 2e-3
    # Of sgd and rmsprop.
    momentum: float = 0.9
    # Of sgd: look ahead by the momentum (Nesterov 1983).
    nesterov: bool = False
    # Pull on weights of convolutions and matrices; none on biases and normalisations.
    weight_decay: float = 1e-4
    # constant; step: times `factor` every `every_epochs`; cosine: to 0 at the end; plateau: times `factor` when the
    # validation metric has not risen for `every_epochs`.
    schedule: Literal["constant", "step", "cosine", "plateau"] = "cosine"
    # Epochs of step and plateau.
    every_epochs: int = 5
    # What step and plateau multiply the step size by.
    factor: float = 0.3
    # Longest gradient of all weights together; 0: no limit.
    max_grad_norm: float = 5.0

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or not 0 < self.factor < 1 or self.every_epochs < 1:
            raise ConfigError("learning_rate must be above 0, factor between 0 and 1, every_epochs at least 1")
        if not 0 <= self.momentum < 1 or min(self.weight_decay, self.max_grad_norm) < 0:
            raise ConfigError("momentum must be at least 0 and below 1, weight_decay and max_grad_norm at least 0")
        if self.nesterov and (self.name != "sgd" or self.momentum == 0):
            raise ConfigError("nesterov is for sgd with momentum")


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> Optimizer:
    """The optimiser of a network's weights."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0},
    ]
    rate = config.learning_rate
    if config.name == "sgd":
        return torch.optim.SGD(groups, rate, config.momentum, nesterov=config.nesterov)
    if config.name == "rmsprop":
        return torch.optim.RMSprop(groups, rate, momentum=config.momentum)
    kinds = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.name](groups, rate)


class Schedule:
    """Torch's schedule of that name; told of every update and every validation."""

    def __init__(self, optimizer: Optimizer, config: OptimizerConfig, updates_per_epoch: int, epochs: int) -> None:
        self._by_update: LRScheduler | None = None
        self._by_metric: ReduceLROnPlateau | None = None
        if config.schedule == "step":
            self._by_update = StepLR(optimizer, config.every_epochs * updates_per_epoch, config.factor)
        elif config.schedule == "cosine":
            self._by_update = CosineAnnealingLR(optimizer, epochs * updates_per_epoch)
        elif config.schedule == "plateau":
            self._by_metric = ReduceLROnPlateau(optimizer, "max", config.factor, config.every_epochs)

    def after_update(self) -> None:
        """Count an update."""
        if self._by_update is not None:
            self._by_update.step()

    def after_validation(self, metric: float) -> None:
        """Look at the validation metric, higher is better."""
        if self._by_metric is not None:
            self._by_metric.step(metric)

    def state_dict(self) -> dict[str, object]:
        """What to save; plain values."""
        kind = self._by_update or self._by_metric
        return {} if kind is None else kind.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue from what was saved."""
        kind = self._by_update or self._by_metric
        if kind is not None:
            kind.load_state_dict(state)
