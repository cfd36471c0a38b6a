"""Many images that shall fool: shares within each budget, beside random signs; on a model whose answer is known."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from rl_gen_lab.explain import fooled_images
from rl_gen_lab.explain.fooled_images import ATTACK, CONTROL, Attempt
from rl_gen_lab.explain.fooling import Fooled, randomly


def bright(image: Tensor) -> Tensor:
    """A margin that rises with the mean: above 0 from 101 on."""
    return image.mean((1, 2, 3))[:, None] - 100.5


def said(task: Any, image: Tensor) -> str:
    return "bright" if float(image.float().mean()) > 100.5 else "dark"


def of(level: int) -> Tensor:
    return torch.full((1, 8, 8), level, dtype=torch.uint8)


def test_each_image_has_the_least_budget_and_random_signs_of_every_budget_beside_it() -> None:
    with mock.patch.object(fooled_images, "answer", said):
        (near, far) = fooled_images.attempts(None, bright, [of(98), of(80)], 16, 0, 20)  # type: ignore[arg-type]
    assert (near.before, near.after, near.found.levels) == ("dark", "bright", 4)
    assert (far.before, far.after, far.found.levels) == ("dark", "dark", None)
    assert set(near.signs) == {1, 2, 4, 8, 16} and not far.said
    assert int((near.found.image.int() - 98).abs().max()) <= 4


def test_random_signs_change_every_pixel_by_the_whole_budget_and_are_not_told_the_answer() -> None:
    found = randomly(bright, of(80), 5, seed=3)
    assert set((found.image.int() - 80).abs().flatten().tolist()) == {5} and found.levels is None
    assert randomly(bright, of(200), 5).levels == 5  # said anyway


def test_shares_are_of_all_images_and_a_half_that_is_never_reached_has_no_median() -> None:
    def one(levels: int | None, changed: bool, control: bool) -> Attempt:
        signs = {1: "other" if changed else "a", 2: "other" if changed else "a"}
        return Attempt(of(0), "a", Fooled(of(0), levels), "b", signs, frozenset({2} if control else ()))

    attempts = [one(1, True, False), one(2, False, True), one(None, False, False), one(2, False, False)]
    attack, control = fooled_images.rows(attempts, 2, "s")
    assert attack == {
        "subject": "s",
        "method": ATTACK,
        "measures": {"images": 4, "said_1": 0.25, "said_2": 0.75, "least_median": 2.0},
    }
    wanted = {"images": 4, "said_1": 0.0, "changed_1": 0.25, "said_2": 0.25, "changed_2": 0.25}
    assert control == {"subject": "s", "method": CONTROL, "measures": wanted}
    never, _ = fooled_images.rows([one(None, False, False), one(None, False, False), one(1, True, True)], 1, "s")
    assert "least_median" not in never["measures"] and never["measures"]["said_1"] == pytest.approx(1 / 3)
