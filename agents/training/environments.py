"""Environments with the observation of `world.observe`, resolved in this module alone.

Pixels are the default of the factory. "objects" are read from the state of the environment by `envs/ground_truth`,
"detector:RUN" and "segment:RUN" from its images by a trained model, which is imported only if an agent needs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import gymnasium as gym
from gymnasium.vector import VectorEnv

from agents.training.schemes import register_schemes
from envs import factory
from envs import fingerprint as fingerprints
from envs.config import EnvConfig
from envs.factory import Wrapper
from envs.fingerprint import Fingerprint
from envs.ground_truth.observed_state import ObjectDetector
from envs.ground_truth.wrappers import object_view
from envs.observers import observes_codes
from rl_gen_lab.runs.interrupt import ended_by_signals

register_schemes()
MANY_COPIES = 64  # Atari games are made at about 12 a second, in one call that answers nothing


def detector_of(config: EnvConfig) -> ObjectDetector | None:
    """Return the model that detects for an agent; None where objects are not detected. Raises: CheckpointError."""
    model, _, source = config.observe.partition(":")
    if not source or observes_codes(config):
        return None
    detectors = importlib.import_module("agents.perception.detectors")
    detector: ObjectDetector = detectors.load_detector(model, source)
    return detector


def observation_wrapper(config: EnvConfig) -> Wrapper | None:
    """Return the wrapper that makes the observation; None for pixels. Raises: CheckpointError."""
    if observes_codes(config):
        wrapper: Wrapper = importlib.import_module("agents.perception.codes").code_view(config)
        return wrapper
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
    """Make vector environments, as `envs.factory.make_vec`, with the observation of the settings."""
    return factory.make_vec(
        name, num_envs, config, seed=seed, autoreset=autoreset, threads=threads, observe=observation_wrapper(config)
    )


@contextmanager
def making_copies(env_id: str, num_envs: int) -> Iterator[None]:
    """Announce many copies of an environment, and let Ctrl-C end the program at once while they are made."""
    if num_envs < MANY_COPIES:
        yield
        return
    print(f"making {num_envs:,} copies of {env_id}", flush=True)
    with ended_by_signals():
        yield


def make_env(
    name: str,
    config: EnvConfig = EnvConfig(),
    inner: Wrapper = lambda env: env,
    render_mode: Literal["rgb_array", "human"] = "rgb_array",
) -> gym.Env[Any, Any]:
    """Make one environment, as `envs.factory.make_env`, with the observation of the settings."""
    return factory.make_env(name, config, inner, observation_wrapper(config), render_mode)


def task_fingerprint(env_id: str, world: EnvConfig, eval_epsilon: float, eval_stochastic: bool = False) -> Fingerprint:
    """Return the fingerprint of a task as it is scored: environment, observation, and exploration in evaluations.

    eval_stochastic: actions are sampled from the policy; greedy tasks have the fingerprint of earlier versions.
    """
    sampled = {"eval_stochastic": True} if eval_stochastic else {}
    detector = detector_of(world)
    detector_name = None if detector is None else detector.name  # independent of its folder
    if observes_codes(world):
        detector_name = importlib.import_module("agents.perception.codes").code_name(world)
    observe = observation_wrapper(world)
    return fingerprints.fingerprint(env_id, world, observe, detector_name, eval_epsilon=eval_epsilon, **sampled)


def without_fire_reset(world: EnvConfig) -> EnvConfig:
    """Return settings for `make_env`, which cannot press FIRE at the start of a game; the agent can do so itself."""
    return replace(world, fire_reset=False)
