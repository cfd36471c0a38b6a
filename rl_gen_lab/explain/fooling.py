"""Images that a network takes for what they are not: any image, changed as little as need be, for any answer.

What shall be answered is a row of margins that must all be above 0: of a class over the others, of each word of a
sentence over all other words. The changed image is of whole gray levels, so the file that it is saved in fools, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.data.vocabulary import END, UNKNOWN, words
from rl_gen_lab.explain.attacks import Budget, Loss, pgd, random_signs
from rl_gen_lab.training.task import Task
from rl_gen_lab.vision.captioning.task import CaptioningTask
from rl_gen_lab.vision.recognition.task import RecognitionTask

Margins = Callable[[Tensor], Tensor]  # images (B, C, H, W) float32 -> (B, M), all above 0 where the answer is given
BUDGETS = (1, 2, 4, 8, 16, 32, 64, 128, 255)
STEPS, STEP, STARTS = 60, 0.1, 2
ALL_OF_THEM = 0.1  # weight of all margins that are still below 0, beside that of the worst


@dataclass(frozen=True)
class Fooled:
    """An image that is taken for something else. image: (C, H, W) uint8; levels: the budget that was enough, if any."""

    image: Tensor
    levels: int | None


def loss_of(margins: Margins) -> Loss:
    """Return a loss that is below 0 exactly where all margins are above it: the worst, and a part of all others."""

    def loss(images: Tensor, rows: Tensor) -> Tensor:
        found = margins(images)
        return -found.min(1).values + ALL_OF_THEM * F.relu(-found).mean(1)

    return loss


def fool(margins: Margins, image: Tensor, most: int = 255, seed: int = 0, steps: int = STEPS) -> Fooled:
    """Return an image that gets the answer, with the least budget of `BUDGETS` up to `most` by which one was found.

    Where none is found the last attempt is returned. image: (C, H, W) uint8. Raises: ConfigError where no gradient
    reaches the image.
    """
    loss, clean, rows = loss_of(margins), image[None].float(), torch.zeros(1, dtype=torch.int64)
    draws, found = torch.Generator().manual_seed(seed), clean
    with torch.no_grad():
        if float(loss(clean, rows)) < 0:
            return Fooled(image, 0)
    for levels in budgets(most):
        budget = Budget(levels, whole=True)
        found = pgd(loss, clean, budget, draws, steps=steps, step=STEP, starts=STARTS)
        with torch.no_grad():
            if float(loss(found, rows)) < 0:
                return Fooled(found[0].round().byte(), levels)
    return Fooled(found[0].round().byte(), None)


def randomly(margins: Margins, image: Tensor, levels: int, seed: int = 0) -> Fooled:
    """Return an image (C, H, W) uint8 whose every pixel is changed by so many levels, up or down at random.

    The control of `fool`, which needs no network: its `levels` is None unless the answer is given all the same.
    """
    draws = torch.Generator().manual_seed(seed)
    found = random_signs(image[None].float(), Budget(levels, whole=True), draws)
    with torch.no_grad():
        given = float(loss_of(margins)(found, torch.zeros(1, dtype=torch.int64))) < 0
    return Fooled(found[0].round().byte(), levels if given else None)


def budgets(most: int) -> list[int]:
    """Return the budgets that are tried, up to `most` [gray levels]."""
    return [budget for budget in BUDGETS if budget < most] + [most]


def class_margins(task: Task, name: str) -> Margins:
    """Return the margins of a classifier that says one category and no other. Raises: ConfigError."""
    if not isinstance(task, RecognitionTask):
        raise ConfigError("--to is for classifiers; of a captioner choose a sentence, --say")
    if name not in task.categories:
        known = ", ".join(task.categories)
        raise ConfigError(f"no category {name!r}; there are {known}.{suggest(name, task.categories)}")
    signs = -torch.ones(len(task.categories))
    signs[task.categories.index(name)] = 1.0
    network: Any = task.network
    return lambda images: network(images)[0] * signs


def sentence_margins(task: Task, sentence: str) -> Margins:
    """Return the margins of each word of a sentence over all others, after the words before it.

    Where all are above 0 the captioner says it by greedy search. Raises: ConfigError for words that it does not have.
    """
    if not isinstance(task, CaptioningTask):
        raise ConfigError("--say is for captioners; of a classifier choose a category, --to")
    numbers = task.vocabulary.encode(sentence)
    unknown = [word for word, number in zip(words(sentence), numbers[1:], strict=False) if number == UNKNOWN]
    if unknown:
        hint = suggest(unknown[0], task.vocabulary.words)
        raise ConfigError(f"the captioner has no word {unknown[0]!r}, so it cannot say it.{hint}")
    if len(numbers) < 3:
        raise ConfigError("say at least one word")
    given, network = torch.tensor(numbers), task.network

    def margins(images: Tensor) -> Tensor:
        logits = network(images, given.expand(len(images), -1))[0].float()
        wanted = given[1:].expand(len(images), -1)[..., None]
        others = logits.scatter(2, wanted, float("-inf")).max(2).values
        return logits.gather(2, wanted)[..., 0] - others

    return margins


@torch.no_grad()
def answer(task: Task, image: Tensor) -> str:
    """Return what a classifier or captioner says of an image (C, H, W) uint8, in words. Raises: ConfigError."""
    if isinstance(task, CaptioningTask):
        (found,) = task.generate(image[None])
        text = task.vocabulary.decode(found.words)
        return text if END in found.words else f"{text} ..."
    if isinstance(task, RecognitionTask):
        shares = task.predict(image[None])[0][0]
        said = [name for name, share in zip(task.categories, shares.tolist(), strict=True) if share > 0.5]
        return ", ".join(said) or "nothing"
    raise ConfigError("attacked are classifiers and captioners; agents by python -m agents.attack")
