"""Environments as the settings of an agent ask for them: the one place that knows what `world.observe` means.

Pixels are the factory's own. "objects" are read from the environment's state by `envs/ground_truth`, "detector:RUN" and
"segment:RUN" from its images by a trained model, which is imported only when an agent looks through it.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any, Literal

import gymnasium as gym
from gymnasium.vector import VectorEnv

from envs import factory, names
from envs import fingerprint as fingerprints
from envs.config import EnvConfig
from envs.factory import Wrapper
from envs.fingerprint import Fingerprint
from envs.ground_truth.observed_state import Eyes
from envs.ground_truth.wrappers import object_view


def detector_of(config: EnvConfig) -> Eyes | None:
    """Return the model that an agent looks through; None for pixels and true objects. Raises: CheckpointError."""
    kind, _, source = config.observe.partition(":")
    if not source:
        return None
    detector: Eyes = getattr(importlib.import_module("agents.perception.detectors"), kind)(source)
    return detector


def observation_wrapper(config: EnvConfig) -> Wrapper | None:
    """Return the wrapper of `config.observe`; None for pixels. Raises: CheckpointError."""
    return None if config.observe == "pixels" else object_view(config, detector_of(config))


def make_vec(
    name: str,
    num_envs: int,
    config: EnvConfig = EnvConfig(),
    *,
    seed: int | None = None,
    autoreset: Literal["next_step", "same_step"] = "next_step",
    threads: int = 1,
) -> VectorEnv[Any, Any, Any]:
    """Make vector environments, as `envs.factory.make_vec`, with the observation that the settings name."""
    return factory.make_vec(
        name, num_envs, config, seed=seed, autoreset=autoreset, threads=threads, observe=observation_wrapper(config)
    )


def make_env(name: str, config: EnvConfig = EnvConfig(), inner: Wrapper = lambda env: env) -> gym.Env[Any, Any]:
    """Make one environment, as `envs.factory.make_env`, with the observation that the settings name."""
    return factory.make_env(name, config, inner, observation_wrapper(config))


def task_fingerprint(env: str, world: EnvConfig, eval_epsilon: float) -> Fingerprint:
    """Return the task as it is scored: the environment, what is seen of it, and how an evaluation acts in it."""
    detector = detector_of(world)
    seen_as = None if detector is None else detector.name  # what it is, not where it lies
    env_id = names.resolve(env)
    return fingerprints.fingerprint(env_id, world, observation_wrapper(world), seen_as, eval_epsilon=eval_epsilon)


def without_fire_reset(world: EnvConfig) -> EnvConfig:
    """Return settings for `make_env`, which cannot press FIRE at the start of a game; the agent may do so itself."""
    return replace(world, fire_reset=False)
