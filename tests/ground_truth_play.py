"""Random play with the ground truth of every frame, for the tests of ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from envs import names
from envs.ground_truth.objects import Box, Game, Object, Scene
from envs.ground_truth.registry import supported
from envs.ground_truth.wrappers import GroundTruthInfo


def game_name(env_id: str) -> str:
    atari = names.is_atari(env_id)
    return str(names.spec(env_id).kwargs["game"]) if atari else names.short_name(env_id).lower()


IDS = sorted(env_id for env_id in names.aliases().values() if game_name(env_id) in supported())


def play(env_id: str, frames: int, seed: int = 0) -> Iterator[tuple[Any, Scene]]:
    """Lazy random play, frame by frame; rendered environments are slow, and give a tenth of the frames."""
    rng = np.random.default_rng(seed)
    atari = names.is_atari(env_id)
    env = GroundTruthInfo(gym.make(env_id, **({"frameskip": 1} if atari else {"render_mode": "rgb_array"})))
    action = 0
    _, info = env.reset(seed=seed)
    for _ in range(frames if atari else frames // 10):
        yield env, info["objects"]
        if rng.random() < 0.15 or not atari:
            action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
    env.close()


def bare(game: Game, env: Any) -> np.ndarray:
    """The field with nothing in it, (h, w)."""
    field = np.empty((game.field[3], game.field[2]), game.screen(env).dtype)
    field[:] = game.background(game.state(env))
    return field


def place_of(thing: Object, field: Box) -> tuple[slice, slice]:
    """Where an object stands in the field."""
    x, y, w, h = thing.box
    return np.s_[y - field[1] : y - field[1] + h, x - field[0] : x - field[0] + w]
