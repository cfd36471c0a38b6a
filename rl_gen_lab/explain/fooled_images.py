"""How often a vision model can be fooled: many images, the least budget for each, and random signs as the control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from rl_gen_lab.explain.fooling import Fooled, Margins, answer, budgets, fool, randomly
from rl_gen_lab.training.task import Task

Row = dict[str, Any]
ATTACK, CONTROL = "pgd", "random signs"


@dataclass(frozen=True)
class Attempt:
    """An image with what a model says of it before and after. image: (C, H, W) uint8; signs: answers to random signs
    by their budget; said: budgets of random signs by which it gives the answer that is asked for.
    """

    image: Tensor
    before: str
    found: Fooled
    after: str
    signs: dict[int, str]
    said: frozenset[int]


def attempt(task: Task, margins: Margins, image: Tensor, most: int, seed: int, steps: int) -> Attempt:
    """Fool a model by the least budget up to `most`, and change the image at random by every budget beside it."""
    found = fool(margins, image, most, seed, steps)
    controls = {levels: randomly(margins, image, levels, seed) for levels in budgets(most)}
    signs = {levels: answer(task, control.image) for levels, control in controls.items()}
    said = frozenset(levels for levels, control in controls.items() if control.levels is not None)
    return Attempt(image, answer(task, image), found, answer(task, found.image), signs, said)


def rows(attempts: Sequence[Attempt], most: int, subject: str) -> list[Row]:
    """Return the shares of images that get the answer within each budget, by the attack and by its control.

    changed: share of which random signs get any other answer than before. least_median: the budget by which half of
    the images get the answer, absent where half of them do not. The budget of an image is the least that was tried.
    """
    least = np.array([np.inf if one.found.levels is None else one.found.levels for one in attempts])
    attack: dict[str, float] = {"images": len(attempts)}
    control: dict[str, float] = {"images": len(attempts)}
    for levels in budgets(most):
        attack[f"said_{levels}"] = float((least <= levels).mean())
        control[f"said_{levels}"] = float(np.mean([levels in one.said for one in attempts]))
        control[f"changed_{levels}"] = float(np.mean([one.signs[levels] != one.before for one in attempts]))
    half = float(np.quantile(least, 0.5, method="higher"))
    if np.isfinite(half):
        attack["least_median"] = half
    measured = ((ATTACK, attack), (CONTROL, control))
    return [{"subject": subject, "method": name, "measures": measures} for name, measures in measured]


def attempts(
    task: Task,
    margins: Margins,
    images: Sequence[Tensor],
    most: int,
    seed: int,
    steps: int,
    on_image: Callable[[int], None] = lambda done: None,
) -> list[Attempt]:
    """Attempt each image. on_image: gets the number of images done."""
    found = []
    for number, image in enumerate(images):
        found.append(attempt(task, margins, image, most, seed + number, steps))
        on_image(number + 1)
    return found
