"""An agent's network as a subject of searches: its actions, its mean frame, real frames and reachable ones."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from agents.analysis.explained import explained, without_mean
from agents.analysis.frames import collect, decided, mean_frame
from agents.analysis.witness import Witness
from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from agents.training.video import action_names
from envs.config import EnvConfig
from envs.copies import close_quietly
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.model import Explained
from rl_gen_lab.explain.synthesis.subject import Subject


def subject_of(
    env_id: str,
    world: EnvConfig,
    policy: Policy,
    frames: int,
    episodes: int,
    most_steps: int,
    seed: int,
    reachable: bool,
) -> Subject:
    """Play some games and return the network by which a policy acts, with frames of theirs.

    reachable: also draw states with moved objects. Raises: ConfigError for an agent without frames or without single
    actions; where reachable states are wanted of a game without truth.
    """
    model, _ = explained(policy)
    if without_mean(model):
        model = replace(model, baseline=torch.from_numpy(mean_frame(env_id, world, policy, seed)))
    drawn: list[np.ndarray] = []
    if reachable:
        try:
            witness = Witness(env_id, world)
        except ConfigError as error:
            raise ConfigError(f"{error}; --no-reachable does without such states") from error
        try:
            kept = collect(witness, policy, episodes=episodes, seed=seed, count=frames, most_steps=most_steps)
        finally:
            witness.close()
        seen = [one.seen.obs for one in kept]
        drawn = [frame for one in kept for (name, _), frame in one.moved.items() if name]
    else:
        seen = _played(env_id, world, policy, frames, most_steps, seed)
    names = _names(env_id, world)
    return Subject(
        network=model.network,
        run=lambda obs: model.scores(obs, torch.zeros(len(obs), dtype=torch.int64)),
        outputs=lambda obs: _outputs(model, obs, len(names)),
        names=names,
        mean=model.baseline,
        frames=torch.from_numpy(np.stack(seen)),
        reachable=torch.from_numpy(np.stack(drawn)) if drawn else None,
        depth=1 if world.grayscale else 3,
    )


def _outputs(model: Explained, obs: Tensor, count: int) -> Tensor:
    """Return the gap of each action (B, A): by it the actions of a policy and of action values are compared alike."""
    batch = len(obs)
    repeated = obs.repeat_interleave(count, 0)
    actions = torch.arange(count).repeat(batch)
    return model.scores(repeated, actions).reshape(batch, count)


def _names(env_id: str, world: EnvConfig) -> tuple[str, ...]:
    env = make_env(env_id, world)
    try:
        assert isinstance(env.action_space, gym.spaces.Discrete)
        return tuple(action_names(env_id, env.action_space, world))
    finally:
        close_quietly(env)


def _played(env_id: str, world: EnvConfig, policy: Policy, count: int, steps: int, seed: int) -> list[np.ndarray]:
    """Return frames of a game, evenly spaced."""
    env, seen = make_env(env_id, without_fire_reset(world)), list[np.ndarray]()
    try:
        obs, _ = env.reset(seed=seed)
        for step in range(steps):
            seen.append(np.asarray(obs).copy())
            action, _ = decided(policy, np.asarray(obs), step == 0)
            obs, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                break
    finally:
        close_quietly(env)
    return [seen[i] for i in np.linspace(0, len(seen) - 1, min(count, len(seen))).round().astype(int)]
