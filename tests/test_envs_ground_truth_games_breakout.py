"""Ground truth of Breakout: bricks against the pixels of the screen."""

from __future__ import annotations

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
