"""Ground truth of Pong against the pixels of the ball."""

from __future__ import annotations

import numpy as np
from ground_truth_play import play

from envs.ground_truth.emulator import ale_interface


def test_pong_boxes_are_where_the_ball_is_seen() -> None:
    """The ball is the only object of its color between the walls: its box needs no RAM."""
    proven = 0
    for env, scene in play("ALE/Pong-v5", 800, seed=3):
        white = np.argwhere(ale_interface(env).getScreen()[34:194] == 14)
        balls = [thing for thing in scene.objects if thing.category == "ball"]
        assert bool(len(white)) == bool(balls) or scene.problem
        if balls and not scene.problem:
            (y1, x1), (y2, x2) = white.min(0) + np.array((34, 0)), white.max(0) + np.array((35, 1))
            assert balls[0].box == (x1, y1, x2 - x1, y2 - y1)
            assert abs(scene.slots["ball_x"] - (x1 + x2) / 2) <= 1 and abs(scene.slots["ball_y"] - (y1 + y2) / 2) <= 2
            proven += 1
    assert proven > 200
