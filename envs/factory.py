"""Environments behind one standard pipeline: `make_vec` for training and evaluation, `make_env` for a single copy.

Pixels come as (N, S*C, H, W) uint8: a stack of S frames of C channels, oldest first, zeros before the first frame of an
episode. All other observations come as (N, D) float32. Rewards are not clipped here: clipping belongs to the learner.
Another observation, as of the objects in a frame, is a wrapper that the caller passes in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import wrappers as w
from gymnasium.envs.registration import VectorizeMode, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv

from envs import names
from envs.actions import standard_actions
from envs.atari import emulator_arguments, make_atari_vec, preprocessed, with_noop_zero
from envs.config import EnvConfig, UnknownEnvError
from envs.copies import RAISES, Contained, close_quietly, described
from envs.registration import UnusableEnvError, as_registered, variant_of
from envs.serial import SerialVectorEnv
from envs.standard import standard_view

# Environments are rendered into arrays, never into a window: SDL must not search for a screen or a sound card.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")

EMULATOR_INFO = ("lives", "episode_frame_number", "frame_number")  # as ale-py's vector environment gives it
# Packages that Gymnasium names where they are missing, and the extra here that installs a version known to work.
EXTRAS = {"MuJoCo": "mujoco", "Box2D": "lab"}
Wrapper = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]


def is_capped(env_id: str) -> bool:
    """Return whether `max_episode_frames` ends the episodes of this id; otherwise its own time limit does."""
    return names.is_atari(env_id) or names.spec(env_id).max_episode_steps is None


def episode_limit(env_id: str, config: EnvConfig) -> int:
    """Return the number of agent steps after which an episode of this id is truncated."""
    if names.is_atari(env_id):
        return -(-config.max_episode_frames // config.frame_skip)
    return names.spec(env_id).max_episode_steps or config.max_episode_frames


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
    config = as_registered(env_id, config)
    mode = AutoresetMode.NEXT_STEP if autoreset == "next_step" else AutoresetMode.SAME_STEP
    vec: VectorEnv[Any, Any, Any]
    atari, made = names.is_atari(env_id), list[gym.Env[Any, Any]]()

    def copy() -> gym.Env[Any, Any]:
        made.append(Contained(_make_copy(name, env_id, config, observe), keep=EMULATOR_INFO if atari else ()))
        return made[-1]

    with _refusals(name, made, num_envs):
        if atari and config.observe == "pixels" and not variant_of(env_id):
            vec = make_atari_vec(env_id, num_envs, config, mode, threads)
        elif env_id in names.BATCHED and config.observe == "pixels":
            vec = gym.make_vec(env_id, num_envs, VectorizeMode.VECTOR_ENTRY_POINT, autoreset_mode=mode)
        else:
            vec = SerialVectorEnv([copy] * num_envs, autoreset_mode=mode)
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
    render_mode: Literal["rgb_array", "human"] = "rgb_array",
) -> gym.Env[Any, Any]:
    """Make one copy through Gymnasium's own wrappers, with the same observations as `make_vec`.

    render_mode: what `render()` makes where the environment offers it, RGB or a window; `env.render_mode` is None
    elsewhere.
    inner: a wrapper of the environment itself, which sees every frame, below all that skips, pools or scales frames.
    observe: as in `make_vec`. Raises: UnknownEnvError, UnusableEnvError, and the errors of the wrappers.
    """
    env_id = names.resolve(name)
    config = as_registered(env_id, config)
    with _refusals(name):
        env = _make_copy(name, env_id, config, observe, inner, render_mode)
    # Vector environments copy observations into arrays of this type, whatever an environment of a user's own returns.
    dtype = env.observation_space.dtype
    return w.TransformObservation(env, lambda obs: np.asarray(obs, dtype), env.observation_space)


def _make_copy(
    name: str,
    env_id: str,
    config: EnvConfig,
    observe: Wrapper | None,
    inner: Wrapper = lambda env: env,
    render_mode: str | None = None,
) -> gym.Env[Any, Any]:
    if names.is_atari(env_id):
        arguments = emulator_arguments(name, env_id, config)
        env = with_noop_zero(inner(gym.make(env_id, render_mode=render_mode, **arguments)))
        if config.observe == "pixels":
            return preprocessed(env, env_id, config)
    else:  # an environment of a user's own may know no render_mode
        env = inner(gym.make(env_id) if render_mode is None else _make_rendered(env_id, render_mode))
    return _observation_view(env, config, observe)


def _make_rendered(env_id: str, render_mode: str) -> gym.Env[Any, Any]:
    """Make one copy with a render mode, without one where the environment does not offer it.

    Gymnasium shows what is rendered as RGB in a window of its own where the environment has none.
    """
    entry_point = names.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    if not {render_mode, "rgb_array"} & set((getattr(creator, "metadata", None) or {}).get("render_modes") or ()):
        return gym.make(env_id)
    try:
        return gym.make(env_id, render_mode=render_mode)
    except TypeError as error:  # offers it, and takes no such argument
        if "render_mode" not in str(error):
            raise
        return gym.make(env_id)


@contextmanager
def _refusals(name: str, made: Sequence[gym.Env[Any, Any]] = (), num_envs: int = 1) -> Iterator[None]:
    """Raise UnusableEnvError for whatever a constructor raises; a package may be missing. Closes what was made."""
    try:
        yield
    except RAISES as error:
        for env in made:
            close_quietly(env)
        if isinstance(error, UnknownEnvError):
            raise
        raise unusable(name, error, num_envs, len(made)) from error


def unusable(name: str, error: BaseException, num_envs: int = 1, made: int = 0) -> UnusableEnvError:
    """Return the refusal of an environment whose constructor raised. made: copies of `num_envs` that it made before."""
    copies = f" in {num_envs} copies at once, only {made} could be (--num-envs {made})" if made else ""
    if num_envs == made > 1:  # each is made, and they cannot step together
        copies = f" in {num_envs} copies at once, only each by itself (--num-envs 1)"
    missing = next((extra for package, extra in EXTRAS.items() if f"{package} is not installed" in str(error)), None)
    ours = f' (here: pip install -c constraints.txt -e ".[{missing}]")' if missing else ""
    return UnusableEnvError(f"env {name!r} cannot be made{copies}: {described(error)}{ours}")


def _observation_view(env: gym.Env[Any, Any], config: EnvConfig, observe: Wrapper | None) -> gym.Env[Any, Any]:
    """Wrap an environment in its time limit, and in `observe` or the standard view."""
    spec = env.spec
    assert spec is not None
    if not names.is_atari(spec.id) and spec.max_episode_steps is None:
        env = w.TimeLimit(env, config.max_episode_frames)
    if not names.is_atari(spec.id):
        env = standard_actions(env)
    if config.observe == "pixels":
        return standard_view(env, config)
    if observe is None:
        raise UnusableEnvError(f"observe {config.observe!r} needs a wrapper that makes the observation")
    return observe(env)
