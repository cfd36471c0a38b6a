"""Atari games: ale-py's own vector environment, and the settings of its emulator."""

from __future__ import annotations

from typing import Any

import ale_py.vector_env
import numpy as np
from gymnasium import spaces
from gymnasium import wrappers as w
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import vector as vw

from envs import names
from envs.config import EnvConfig, UnknownEnvError
from envs.standard import channels_first


class UnusableEnvError(UnknownEnvError):
    """The environment is registered but cannot be made, or not with these settings; the message says why."""


def sticky_of(env_id: str, config: EnvConfig) -> float:
    """Return the sticky-action probability in force for an ALE id."""
    if config.sticky is not None:
        return config.sticky
    return float(names.spec(env_id).kwargs.get("repeat_action_probability", 0.25))


def fire_reset_of(env_id: str, config: EnvConfig) -> bool:
    """Return whether FIRE is pressed at the start of a game of this ALE id."""
    if config.fire_reset is not None:
        return config.fire_reset
    return not env_id.rpartition(":")[2].startswith("ALE/")


def emulator_arguments(name: str, env_id: str, config: EnvConfig) -> dict[str, Any]:
    """Return the arguments of ale-py's Gymnasium environment, which then runs frame by frame."""
    if fire_reset_of(env_id, config):
        raise UnusableEnvError(f"{name!r} cannot begin its games with FIRE here: add --world.fire-reset False")
    unrendered = {"obs_type": "ram"} if config.observe != "pixels" else {}  # no image is rendered
    return unrendered | {
        "frameskip": 1,
        "repeat_action_probability": sticky_of(env_id, config),
        "full_action_space": config.full_action_space,
        "max_num_frames_per_episode": config.max_episode_frames,
    }


class WithoutMaxPool(w.AtariPreprocessing):
    """Gymnasium's preprocessing without max-pooling: a step shows its last frame, not the maximum of its last two."""

    def _get_obs(self) -> Any:
        self.obs_buffer[1].fill(0)
        return super()._get_obs()


def make_atari_vec(
    env_id: str, num_envs: int, config: EnvConfig, mode: AutoresetMode, threads: int
) -> VectorEnv[Any, Any, Any]:
    """Make ale-py's vector environment, (N, S*C, H, W) uint8 observations."""
    vec: VectorEnv[Any, Any, Any] = ale_py.vector_env.AtariVectorEnv(
        game=names.spec(env_id).kwargs["game"],
        num_envs=num_envs,
        num_threads=min(threads, num_envs),
        max_num_frames_per_episode=config.max_episode_frames,
        repeat_action_probability=sticky_of(env_id, config),
        full_action_space=config.full_action_space,
        autoreset_mode=mode,
        img_height=config.image_size,
        img_width=config.image_size,
        grayscale=config.grayscale,
        stack_num=config.frame_stack,
        frameskip=config.frame_skip,
        maxpool=config.max_pool,
        noop_max=config.noop_max,
        reward_clipping=False,
        use_fire_reset=fire_reset_of(env_id, config),
    )
    vec.metadata = dict(vec.metadata)  # ale-py writes the mode into a dictionary shared by all its vector environments
    if not config.grayscale:
        single = vec.single_observation_space.shape
        assert single is not None
        space = spaces.Box(0, 255, channels_first(np.zeros(single, np.uint8)).shape, np.uint8)
        vec = vw.TransformObservation(vec, channels_first, single_observation_space=space)
    return vec
