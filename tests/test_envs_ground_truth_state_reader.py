"""Slots over time: velocities, events, and slots as an observation."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
from ground_truth_play import play

from envs.ground_truth.objects import no_event
from envs.ground_truth.registry import game_of
from envs.ground_truth.state_reader import StateReader, observation_names, observation_vector


def test_velocity_is_the_difference_of_two_reads() -> None:
    before: dict[str, float] = {}
    moved = 0
    for _, scene in play("ALE/Pong-v5", 300, seed=4):
        for name in ("ball_x", "ball_y", "player_y"):
            expected = scene.slots[name] - before.get(name, np.nan)
            np.testing.assert_equal(scene.slots[f"{name}_velocity"], expected)
        moved += scene.slots["ball_x_velocity"] != 0
        before = scene.slots
    assert moved > 50


def test_a_point_is_the_event_until_another_event() -> None:
    events = [(scene.slots["enemy_score"], scene.event) for _, scene in play("ALE/Pong-v5", 700)]
    first = next(i for i, (score, _) in enumerate(events) if score == 1)
    assert all(event in ("", "player hit", "enemy hit") for _, event in events[:first])
    assert events[first][1] == events[first + 1][1] == "enemy scored"


def test_objects_are_scaled_and_absent_ones_are_zero() -> None:
    game = game_of("Pong")
    slots = dict.fromkeys(observation_names(game), np.nan) | {
        "ball_visible": 1.0,
        "ball_x": 40.0,
        "player_y_velocity": -4.0,
    }
    observed = dict(zip(observation_names(game), observation_vector(game, slots).tolist(), strict=True))
    assert observed["ball_visible"] == 1.0 and observed["ball_x"] == -0.5 and observed["player_y_velocity"] == -0.5
    assert observed["enemy_y"] == 0.0


def test_the_reader_proves_the_frame_it_read() -> None:
    env = gym.make("ALE/Pong-v5", frameskip=1)
    env.reset(seed=0)
    reader = StateReader(replace(game_of("Pong"), moving=(), event=no_event))
    reader.reset(env)
    for _ in range(70):
        env.step(0)
        reader.read(env)
    scene = reader.scene(env)
    assert scene.problem is None and len(scene.objects) == 3 and "ball_x_velocity" not in scene.slots
    env.close()
