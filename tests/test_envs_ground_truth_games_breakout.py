"""Ground truth of Breakout: bricks against the pixels of the screen."""

from __future__ import annotations

import numpy as np
from ground_truth_play import play

from envs.ground_truth.emulator import ale_interface
from envs.ground_truth.interventions import intervene, restore_state


def test_breakout_bricks_are_those_of_the_screen() -> None:
    broken = 0
    for i, (env, _) in enumerate(play("ALE/Breakout-v5", 300, seed=7)):
        if i < 100 or i % 10:
            continue
        with restore_state(env, env.reader):
            intervene(env, env.reader, {"bricks": float(i % 100)})
            scene, screen = env.reader.scene(env), ale_interface(env).getScreen()
            corners = {thing.box[:2] for thing in scene.objects if thing.category == "brick"}
            # A brick is recognized by its four corners, a ball covers two of them at most.
            for row in range(6):
                for column in range(18):
                    x, y = 8 + 8 * column, 57 + 6 * row
                    lit = sum(int(screen[b, a] != 0) for a in (x, x + 7) for b in (y, y + 5))
                    assert ((x, y) in corners) == (lit > 2) or scene.problem
            broken += 108 - len(corners)
    assert broken > 200


def test_a_ball_that_falls_below_the_paddle_is_boxed_to_its_last_pixel() -> None:
    """Line 194 is the last of its whole width; line 195 is drawn at the left alone, to a column in between."""
    *_, (env, _) = play("ALE/Breakout-v5", 60, seed=7)
    lowest = set()
    for x in (20, 40, 44, 45, 50, 54, 55, 56, 100, 140):
        for y in range(190, 202):
            with restore_state(env, env.reader):
                intervene(env, env.reader, {"ball_x": float(x), "ball_y": float(y), "bricks": 0.0})
                scene, screen = env.reader.scene(env), ale_interface(env).getScreen()
                columns = np.s_[(at := int(ale_interface(env).getRAM()[99]) - 49) : at + 2]
            assert scene.problem is None, (x, y, scene.problem)
            boxes = {thing.category: thing.box for thing in scene.objects}
            if boxes["paddle"][0] - 2 < at < boxes["paddle"][0] + 16:  # of the same color
                continue
            lines = 186 + np.flatnonzero(screen[186:, columns].any(1))
            expected = None
            if len(lines):
                width = int(np.count_nonzero(screen[lines[0] : lines[-1] + 1, columns].any(0)))
                expected = (at, int(lines[0]), width, len(lines))
                lowest.add(int(lines[-1]))
            assert boxes.get("ball") == expected, (x, y)
            assert scene.slots["ball_visible"] == float(expected is not None), (x, y)
    assert {193, 194, 195} <= lowest
