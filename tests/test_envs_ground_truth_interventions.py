"""Interventions: written slots are on the screen, and the game is restored afterwards."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from ground_truth_play import IDS, play

from envs.ground_truth.emulator import ale_interface
from envs.ground_truth.interventions import intervene, restore_state
from envs.ground_truth.registry import game_of
from envs.ground_truth.wrappers import GroundTruthInfo


@pytest.mark.slow
@pytest.mark.parametrize("env_id", [i for i in IDS if game_of(i).writes])
def test_written_slots_are_on_the_screen_and_leave_no_trace(env_id: str) -> None:
    rng, proven, tries = np.random.default_rng(0), 0, 0
    untouched = play(env_id, 400, seed=5)
    for i, (env, scene) in enumerate(play(env_id, 400, seed=5)):
        game, ale = env.reader.game, ale_interface(env)
        other = ale_interface(next(untouched)[0])
        np.testing.assert_array_equal(ale.getRAM(), other.getRAM())
        np.testing.assert_array_equal(ale.getScreen(), other.getScreen())
        if i % 20 or not scene.slots.get("ball_visible", 1):
            continue
        with restore_state(env, env.reader):
            wanted = {name: rng.uniform(*game.ranges[name]) for name in game.writes}
            intervene(env, env.reader, wanted)
            elsewhere = env.reader.scene(env)
            proven, tries = proven + (elsewhere.problem is None), tries + 1
            assert env.reader.slots is not scene.slots
        assert env.reader.slots is scene.slots
    assert tries > 5 and proven >= 0.8 * tries


def test_a_ball_is_put_where_it_was_asked_to_be() -> None:
    for i, (env, scene) in enumerate(play("ALE/Pong-v5", 200, seed=6)):
        if i < 150 or not scene.slots["ball_visible"]:
            continue
        intervene(env, env.reader, {"ball_x": 100.0, "ball_y": 120.0})
        ball = env.reader.scene(env).objects[0]
        assert ball.category == "ball"
        assert abs(ball.box[0] + 1 - 100) <= 3 and abs(ball.box[1] + 2 - 120) <= 5  # it has moved on for one frame
        return
    raise AssertionError("no ball was in play")


def test_an_unknown_slot_cannot_be_written() -> None:
    env = GroundTruthInfo(gym.make("ALE/Pong-v5", frameskip=1))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"'wind' cannot be written; these can: ball_x"):
        intervene(env, env.reader, {"wind": 1.0})
