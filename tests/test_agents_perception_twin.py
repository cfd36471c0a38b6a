"""A game and a dream of it side by side."""

from __future__ import annotations

import numpy as np
from twin_pages import twin


def test_the_game_and_the_dream_get_the_same_actions_and_errors_are_told() -> None:
    both = twin()
    both.new_game()
    assert np.array_equal(both.frames[-1], both.dreamed) and both.counters.dreamed == 0
    step = both.step(2)
    assert both.counters.dreamed == 1 and both.actions[-1] == 2 and set(step.errors) <= set(both.reader.categories)
    same = both._errors(both.frames[-1], both.frames[-1])
    assert same and all(error == 0 for error in same.values())
    empty = np.zeros_like(both.frames[-1])
    assert all(error is None for error in both._errors(both.frames[-1], empty).values())
    both.counters.add({"ball": 9.0})
    both.counters.add({"ball": 0.0})
    assert both.counters.dreamed == 3 and both.counters.true <= 1
