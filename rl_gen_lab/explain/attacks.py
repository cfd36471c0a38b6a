"""Attacks on a network: changes of its input by a few gray levels that lower a number the attacker chooses.

Budgets are in gray levels of 255, before a network standardizes its input: after it a level may be a quarter of a
standard deviation, or a thousandth. All attacks work by gradients but the control, random signs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError

Outputs = Callable[[Tensor], Tensor]  # frames (B, C, H, W) float32 in [0, 255] -> (B, K)
Loss = Callable[[Tensor, Tensor], Tensor]  # frames and the rows of the batch that they are -> (B,), to be lowered
PIXEL = 255.0
PGD_STEPS, STEP = 10, 0.25  # steps; length of a step as a share of the budget, four of which cross it from the middle
NO_GRADIENT = "no gradient reaches the frame, so it cannot be attacked by one: choose random, which needs none"


@dataclass(frozen=True)
class Budget:
    """What an attacker may do. levels: by which a pixel may change; newest: last channels that may (None: all); whole:
    only by whole gray levels, as a screen shows them.
    """

    levels: float
    newest: int | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        """Raises: ConfigError for a budget in another unit."""
        if not 0 <= self.levels <= PIXEL:
            raise ConfigError(f"the budget is in gray levels, from 0 to 255, not {self.levels:g}")
        if 0 < self.levels < 1:
            raise ConfigError(
                f"the budget is in gray levels of 255, not in shares: {self.levels:g} as a share is"
                f" {self.levels * PIXEL:.3g} levels"
            )

    def within(self, frames: Tensor, changed: Tensor) -> Tensor:
        """Return the nearest frames that the budget allows."""
        changed = torch.minimum(torch.maximum(changed, frames - self.levels), frames + self.levels).clamp(0, PIXEL)
        if self.newest is not None and self.newest < frames.shape[1]:
            changed = torch.cat((frames[:, : -self.newest], changed[:, -self.newest :]), 1)
        return changed

    def shown(self, frames: Tensor, changed: Tensor) -> Tensor:
        """Return frames as they are handed to the network: their changes rounded where only whole levels count."""
        if not self.whole:
            return changed
        return frames + (changed - frames).round().clamp(-(self.levels // 1), self.levels // 1)


def margin(outputs: Tensor, chosen: Tensor) -> Tensor:
    """Return by how much the chosen output exceeds the best of the others. outputs: (B, K); chosen: (B,) -> (B,).

    Below 0 another one is chosen. Raises: ConfigError for a single output.
    """
    if outputs.shape[1] < 2:
        raise ConfigError("a network of one output decides nothing that an attack could change")
    own = F.one_hot(chosen, outputs.shape[1]).bool()
    return outputs.gather(1, chosen[:, None])[:, 0] - outputs.masked_fill(own, float("-inf")).max(1).values


def away_from(outputs: Outputs, chosen: Tensor) -> Loss:
    """Return the loss that makes a network choose anything else: the margin of its choice."""
    return lambda frames, rows: margin(outputs(frames), chosen[rows])


def toward(outputs: Outputs, goal: Tensor) -> Loss:
    """Return the loss that makes a network choose a goal (B,): minus its margin."""
    return lambda frames, rows: -margin(outputs(frames), goal[rows])


def slope(loss: Loss, frames: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss (B,) and its gradient by each pixel. Raises: ConfigError where there is none."""
    frames = frames.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = loss(frames, rows)
        if not value.requires_grad:
            raise ConfigError(NO_GRADIENT)
        (found,) = torch.autograd.grad(value.sum(), frames, allow_unused=True)
    if found is None:
        raise ConfigError(NO_GRADIENT)
    return value.detach(), found


def random_signs(frames: Tensor, budget: Budget, draws: torch.Generator) -> Tensor:
    """Change every pixel by the whole budget, up or down at random: the control that needs no network."""
    signs = torch.randint(0, 2, frames.shape, generator=draws, dtype=frames.dtype) * 2 - 1
    return budget.shown(frames, budget.within(frames, frames + budget.levels * signs))


def fgsm(loss: Loss, frames: Tensor, budget: Budget) -> Tensor:
    """Change every pixel by the whole budget against the sign of the gradient.

    Source: Goodfellow et al. 2015, "Explaining and harnessing adversarial examples", section 4.
    """
    rows = torch.arange(len(frames))
    step = slope(loss, frames, rows)[1].sign()
    return budget.shown(frames, budget.within(frames, frames - budget.levels * step))


def pgd(
    loss: Loss,
    frames: Tensor,
    budget: Budget,
    draws: torch.Generator,
    *,
    steps: int = PGD_STEPS,
    step: float = STEP,
    starts: int = 1,
    until: float | None = 0.0,
) -> Tensor:
    """Descend by signs of gradients within the budget, and return the best frames met, of all steps and starts.

    step: as a share of the budget; starts: the first is the frame itself, the others are random. until: frames whose
    loss is below it are let be (None: every frame takes all steps). Source: Madry et al. 2018, "Towards deep learning
    models resistant to adversarial attacks", section 2.1.
    """
    best, least = frames.clone(), torch.full((len(frames),), float("inf"), dtype=frames.dtype)
    for start in range(starts):
        rows = _left(least, until)
        noise = (torch.rand(frames.shape, generator=draws, dtype=frames.dtype) * 2 - 1) * budget.levels
        own = budget.within(frames, frames + noise) if start else frames.clone()
        for taken in range(steps + 1):
            if not len(rows):
                return best
            shown = budget.shown(frames[rows], own[rows])
            # of rounded frames the loss is that of what is shown, and its slope there is followed
            value, gradient = slope(loss, shown, rows)
            better = value < least[rows]
            best[rows[better]], least[rows[better]] = shown[better], value[better]
            if taken < steps:
                own[rows] = budget.within(frames[rows], own[rows] - step * budget.levels * gradient.sign())
                going = torch.isin(rows, _left(least, until))
                rows = rows[going]
    return best


def _left(least: Tensor, until: float | None) -> Tensor:
    """Return the rows that are not yet below a loss."""
    if until is None:
        return torch.arange(len(least))
    return torch.nonzero(least >= until, as_tuple=True)[0]


def minimum_levels(attack: Callable[[float], Tensor], fooled: Callable[[Tensor], Tensor], most: int = 64) -> Tensor:
    """Return the least whole gray levels by which an attack succeeds for each frame, (B,); inf above `most`.

    attack: budget in levels -> frames; fooled: frames -> (B,) bool. The budgets are halved between, which takes for
    granted that what succeeds with a budget does with a larger one.
    """
    tried = {most: fooled(attack(float(most)))}
    low, high = (torch.full(tried[most].shape, level, dtype=torch.float64) for level in (0, most))
    high[~tried[most]] = torch.inf
    while bool((open_rows := high.isfinite() & (high - low > 1)).any()):
        middle = ((low + high) / 2).floor()
        for level in middle[open_rows].int().unique().tolist():
            if level not in tried:
                tried[level] = fooled(attack(float(level)))
            rows = open_rows & (middle == level)
            high = torch.where(rows & tried[level], middle, high)
            low = torch.where(rows & ~tried[level], middle, low)
    return high
