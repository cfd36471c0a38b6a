"""torch's optimizers and learning-rate schedules by name; reading their settings needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import Count, NotNegative, Positive, Ranged, ShareBelowOne

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR


# What torch's schedules change as they advance.
CHANGING = ("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs", "cooldown_counter", "_is_initial")


@dataclass(frozen=True)
class OptimizerConfig(Ranged):
    """Optimizer, learning rate and regularization."""

    # Update rule.
    name: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"] = "adamw"
    # Learning rate at the start.
    learning_rate: Positive = 2e-3
    # Of sgd and rmsprop.
    momentum: ShareBelowOne = 0.9
    # Of sgd: evaluate the gradient after the momentum step (Nesterov 1983).
    nesterov: bool = False
    # Weight decay of convolutions and matrices; biases and normalizations have none.
    weight_decay: NotNegative = 1e-4
    # constant; step: times `factor` every `every_epochs`; cosine: to 0 at the end; plateau: times `factor` when the
    # validation metric has not risen for `every_epochs`.
    schedule: Literal["constant", "step", "cosine", "plateau"] = "cosine"
    # Epochs of step and plateau.
    every_epochs: Count = 5
    # Factor of step and plateau for the learning rate.
    factor: Annotated[float, Interval(gt=0, lt=1)] = 0.3
    # Largest norm of the gradient of all weights together; 0: no limit.
    max_grad_norm: NotNegative = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and (self.name != "sgd" or self.momentum == 0):
            raise ConfigError("nesterov is for sgd with momentum")


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Make the optimizer of a network's weights."""
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
    classes = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return classes[config.name](groups, rate)


class Schedule:
    """A learning-rate schedule that advances with each update or each validation."""

    def __init__(self, optimizer: Optimizer, config: OptimizerConfig, updates_per_epoch: int, epochs: int) -> None:
        self._optimizer, self._start = optimizer, config.learning_rate
        self._by_update: StepLR | CosineAnnealingLR | None = None
        self._by_metric: ReduceLROnPlateau | None = None
        if config.schedule == "step":
            self._by_update = torch.optim.lr_scheduler.StepLR(
                optimizer, config.every_epochs * updates_per_epoch, config.factor
            )
        elif config.schedule == "cosine":
            self._by_update = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * updates_per_epoch)
        elif config.schedule == "plateau":
            self._by_metric = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, "max", config.factor, config.every_epochs
            )

    def after_update(self) -> None:
        """Count an update."""
        if self._by_update is not None:
            self._by_update.step()

    def after_validation(self, metric: float) -> None:
        """Take a validation metric, higher is better."""
        if self._by_metric is not None:
            self._by_metric.step(metric)

    def state_dict(self) -> dict[str, object]:
        """Return plain values to save."""
        schedule = self._by_update or self._by_metric
        return {} if schedule is None else schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any], updates: int, epochs: int) -> None:
        """Continue from saved values, once the optimizer has. Raises: ValueError for those of another schedule.

        updates, epochs: that the training has made.
        """
        schedule = self._by_update or self._by_metric
        if schedule is not None:
            for name, value in schedule.state_dict().items():
                if name not in CHANGING and state[name] != value:
                    raise ValueError(f"'schedule/{name}' is {state[name]!r:.60}, not {value!r}")
            # only what it has itself: torch would take over whatever stands there, its own methods included
            schedule.load_state_dict({name: state[name] for name in schedule.state_dict()})
        self._refuse_miscounted(updates, epochs)
        rates = [group["lr"] for group in self._optimizer.param_groups]
        if rates != state.get("_last_lr", rates) or not all(map(self._comes_to, rates)):
            raise ValueError(f"the learning rates are {rates!r:.60} after {updates:,} updates")

    def _refuse_miscounted(self, updates: int, epochs: int) -> None:
        """Raise ValueError where the schedule has counted other updates or validations."""
        by_update, by_metric = self._by_update, self._by_metric
        wrong = by_update is not None and (by_update.last_epoch, by_update._step_count) != (updates, updates + 1)
        if by_metric is not None:  # a run that ends before its first validation makes one in the middle of an epoch
            counted = by_metric.last_epoch
            wrong = counted not in (epochs, epochs + 1) or not 0 <= by_metric.num_bad_epochs <= counted
        if wrong:
            raise ValueError(
                f"the schedule of the learning rate has not counted {updates:,} updates, {epochs:,} epochs"
            )

    def _comes_to(self, rate: float) -> bool:
        """Return whether this is a learning rate of the schedule, where it has come to."""
        if self._by_metric is not None:
            times = round(math.log(max(rate, 1e-300) / self._start, self._by_metric.factor))
            return 0 <= times <= self._by_metric.last_epoch and math.isclose(
                rate, self._start * self._by_metric.factor**times, rel_tol=1e-6
            )
        # the same for all groups; torch computes each rate from the one before it, so the last digits differ
        expected = self._start if self._by_update is None else self._by_update._get_closed_form_lr()[0]
        return math.isclose(rate, expected, rel_tol=1e-3, abs_tol=1e-6 * self._start)
