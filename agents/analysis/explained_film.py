"""A film of an agent at play: the game, and beside it the map of what its decision hangs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents.analysis.frames import decided
from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from agents.training.rendering import rgb_frame
from agents.training.video import action_names, draw
from envs.config import EnvConfig
from envs.copies import close_quietly
from rl_gen_lab.explain.drawing import overlay, strongest
from rl_gen_lab.explain.methods import Method
from rl_gen_lab.explain.model import Explained

BATCH = 32  # frames whose maps are made together


@dataclass(frozen=True)
class Shot:
    """A moment of a film, before its map is made. obs: (C, H, W) uint8; image: (H', W', 3) uint8."""

    obs: np.ndarray
    image: np.ndarray
    action: int
    scores: np.ndarray
    total: float


def film(
    env_id: str,
    world: EnvConfig,
    policy: Policy,
    model: Explained,
    method: Method,
    *,
    seed: int,
    steps: int,
    on_step: Callable[[int], None] = lambda done: None,
) -> list[np.ndarray]:
    """Return frames (H, W, 3) uint8 of the first steps of a game: the screen, the screen under the map, the scores."""
    world = without_fire_reset(world)
    shots, space = _play(env_id, world, policy, seed, steps)
    labels = action_names(env_id, space, world)
    low, high = (float(end([shot.scores for shot in shots])) for end in (np.min, np.max))
    frames: list[np.ndarray] = []
    for start in range(0, len(shots), BATCH):
        part = shots[start : start + BATCH]
        obs = torch.from_numpy(np.stack([shot.obs for shot in part])).float()
        maps = method(model, obs, torch.tensor([shot.action for shot in part]))
        for shot, map_ in zip(part, maps, strict=True):
            both = np.concatenate((shot.image, overlay(shot.image, strongest(map_))), 1)
            frames.append(draw(both, shot.total, shot.action, shot.scores, labels, (low, high), policy.meaning))
            on_step(len(frames))
    return frames


def _play(env_id: str, world: EnvConfig, policy: Policy, seed: int, steps: int) -> tuple[list[Shot], gym.Space[Any]]:
    """Play one game; return what the film shows, and the space of actions."""
    env, shots, total = make_env(env_id, world), list[Shot](), 0.0
    if policy.seed is not None:
        policy.seed(seed)
    try:
        obs, _ = env.reset(seed=seed)
        for step in range(steps):
            action, scores = decided(policy, np.asarray(obs), step == 0)
            shots.append(Shot(np.asarray(obs), rgb_frame(env.render()), action, scores, total))
            obs, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
    finally:
        close_quietly(env)
    return shots, env.action_space
