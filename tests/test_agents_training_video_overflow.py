"""Films of weights whose answers overflow."""

from __future__ import annotations

import numpy as np

from agents.training.video import HEIGHT, draw


def test_values_that_are_no_finite_numbers_get_the_shortest_bar() -> None:
    for values in ([np.nan, 1.0], [np.inf, -np.inf], [0.0, np.inf]):
        limits = (min(values), max(values))
        game = np.full((210, 160, 3), 90, np.uint8)
        frame = draw(game, 0.0, 0, np.array(values, np.float32), ["a", "b"], limits)
        assert frame.shape[0] == HEIGHT
