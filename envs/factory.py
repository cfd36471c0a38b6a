"""Environments behind one standard pipeline: `make_vec` for training and evaluation, `make_env` for a single copy.

Pixels come as (N, S*C, H, W) uint8: a stack of S frames of C channels, oldest first, zeros before the first frame of an
episode. All other observations come as (N, D) float32. Rewards are not clipped here: clipping belongs to the learner.
Another observation, as of the objects in a frame, is a wrapper that the caller passes in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import gymnasium as gym
from gymnasium import wrappers as w
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv

from envs import names
from envs.atari import UnusableEnvError, WithoutMaxPool, emulator_arguments, make_atari_vec
from envs.config import EnvConfig, UnknownEnvError
from envs.serial import SerialVectorEnv
from envs.standard import stacked, standard_view

# Environments are rendered into arrays, never into a window: SDL must not search for a screen or a sound card.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")

Wrapper = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]


def is_capped(env_id: str) -> bool:
    """Return whether `max_episode_frames` ends the episodes of this id; otherwise its own time limit does."""
    return names.is_atari(env_id) or names.spec(env_id).max_episode_steps is None


def make_vec(
    name: str,
    num_envs: int,
    config: EnvConfig = EnvConfig(),
    *,
    seed: int | None = None,
    autoreset: Literal["next_step", "same_step"] = "next_step",
    threads: int = 1,
    observe: Wrapper | None = None,
) -> VectorEnv[Any, Any, Any]:
    """Make `num_envs` copies of an environment, stepped together. ALE games run in ale-py's C++ vector environment.

    seed: of the next `reset()` without a seed and all that follows, and of sampled actions.
    threads: of ale-py. observe: a wrapper that replaces the observation, where `config.observe` is not "pixels".
    Observations: (N, S*C, H, W) uint8 for pixels, (N, D) float32 for all others. Rewards: (N,) unclipped.
    Raises: UnknownEnvError, UnusableEnvError, and the errors of the wrapper.
    """
    env_id = names.resolve(name)
    mode = AutoresetMode.NEXT_STEP if autoreset == "next_step" else AutoresetMode.SAME_STEP
    if names.is_atari(env_id) and config.observe == "pixels":
        vec = make_atari_vec(env_id, num_envs, config, mode, threads)
    else:
        arguments = emulator_arguments(name, env_id, config) if names.is_atari(env_id) else {}

        def make_copy() -> gym.Env[Any, Any]:
            return _observation_view(gym.make(env_id, **arguments), config, observe)

        try:
            vec = SerialVectorEnv([make_copy] * num_envs, autoreset_mode=mode)
        except UnknownEnvError:
            raise
        except Exception as error:  # a constructor may raise anything, and a package may be missing
            raise UnusableEnvError(f"env {name!r} cannot be made: {type(error).__name__}: {error}") from error
    assert vec.metadata["autoreset_mode"] == mode, vec.metadata
    if seed is not None:
        vec.action_space.seed(seed)
        vec.reset(seed=seed)
    return vec


def make_env(
    name: str,
    config: EnvConfig = EnvConfig(),
    inner: Wrapper = lambda env: env,
    observe: Wrapper | None = None,
) -> gym.Env[Any, Any]:
    """Make one copy through Gymnasium's own wrappers, with the same observations as `make_vec`.

    `render()` returns RGB where the environment offers it; `render_mode` is "rgb_array" then.
    inner: a wrapper of the environment itself, which sees every frame, below all that skips, pools or scales frames.
    observe: as in `make_vec`. Raises: UnknownEnvError, UnusableEnvError, and the errors of the wrappers.
    """
    env_id = names.resolve(name)
    if not names.is_atari(env_id):
        entry_point = names.spec(env_id).entry_point
        creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
        renders = "rgb_array" in getattr(creator, "metadata", {}).get("render_modes", ())
        arguments: dict[str, Any] = {"render_mode": "rgb_array"} if renders else {}
        return _observation_view(inner(gym.make(env_id, **arguments)), config, observe)
    env = inner(gym.make(env_id, render_mode="rgb_array", **emulator_arguments(name, env_id, config)))
    if config.observe != "pixels":
        return _observation_view(env, config, observe)
    preprocessing = w.AtariPreprocessing if config.max_pool else WithoutMaxPool
    env = preprocessing(
        env,
        noop_max=config.noop_max,
        frame_skip=config.frame_skip,
        screen_size=config.image_size,
        grayscale_obs=config.grayscale,
    )
    return stacked(env, config)


def _observation_view(env: gym.Env[Any, Any], config: EnvConfig, observe: Wrapper | None) -> gym.Env[Any, Any]:
    """Wrap an environment in its time limit, and in `observe` or the standard view."""
    spec = env.spec
    assert spec is not None
    if not names.is_atari(spec.id) and spec.max_episode_steps is None:
        env = w.TimeLimit(env, config.max_episode_frames)
    if config.observe == "pixels":
        return standard_view(env, config)
    if observe is None:
        raise UnusableEnvError(f"observe {config.observe!r} needs a wrapper that makes the observation")
    return observe(env)
