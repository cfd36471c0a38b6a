"""Atari games: ale-py's own vector environment, and the settings of its emulator."""

from __future__ import annotations

from typing import Any

import ale_py.vector_env
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium import wrappers as w
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import vector as vw

from envs.config import EnvConfig
from envs.registration import UnusableEnvError, keywords, variant_of
from envs.standard import channels_first, stacked


def sticky_of(env_id: str, config: EnvConfig) -> float:
    """Return the sticky-action probability in force for an ALE id."""
    if config.sticky is not None:
        return config.sticky
    return float(keywords(env_id)["repeat_action_probability"])


def fire_reset_of(env_id: str, config: EnvConfig) -> bool:
    """Return whether FIRE is pressed at the start of a game of this ALE id."""
    if config.fire_reset is not None:
        return config.fire_reset
    return not env_id.rpartition(":")[2].startswith("ALE/")


def emulator_arguments(name: str, env_id: str, config: EnvConfig) -> dict[str, Any]:
    """Return the arguments of `gym.make` for ale-py's Gymnasium environment, which then runs frame by frame.

    config: as registered. Raises: UnusableEnvError.
    """
    if fire_reset_of(env_id, config) and not (config.observe == "pixels" and variant_of(env_id)):
        raise UnusableEnvError(f"{name!r} cannot begin its games with FIRE here: add --world.fire-reset False")
    unrendered = {"obs_type": "ram"} if config.observe != "pixels" else {}  # no image is rendered
    return unrendered | {
        "frameskip": 1,
        "repeat_action_probability": sticky_of(env_id, config),
        "full_action_space": config.full_action_space,
        "max_num_frames_per_episode": config.max_episode_frames,
        "max_episode_steps": -1,  # it would count frames
    }


class _NoopZero(gym.ActionWrapper[Any, Any, Any]):
    """Map action 0, the no-op of wrappers of Atari games, to the neutral joystick of a continuous action space."""

    def action(self, action: Any) -> Any:
        return np.zeros(3, np.float32) if np.isscalar(action) else action


class _Opening(gym.Wrapper[Any, Any, Any, Any]):
    """Begins a game as ale-py's vector environment does: 0 to noop_max - 1 no-ops, the last of which may be FIRE."""

    def __init__(self, env: gym.Env[Any, Any], noop_max: int, fire: bool) -> None:
        super().__init__(env)
        meanings: list[str] = self.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
        self.noop_max, self.fire = noop_max, meanings.index("FIRE") if fire and "FIRE" in meanings else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        noops = int(self.unwrapped.np_random.integers(self.noop_max)) if self.noop_max else 0
        actions = [0] * noops if self.fire is None else [0] * (noops - 1) + [self.fire]
        for action in actions:
            obs, _, terminated, truncated, info = self.env.step(action)
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
        return obs, info


def with_noop_zero(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Return an environment in which action 0 is a no-op, as wrappers of Atari games expect."""
    return _NoopZero(env) if isinstance(env.action_space, spaces.Box) else env


class WithoutMaxPool(w.AtariPreprocessing):
    """Gymnasium's preprocessing without max-pooling: a step shows its last frame, not the maximum of its last two."""

    def _get_obs(self) -> Any:
        self.obs_buffer[1].fill(0)
        return super()._get_obs()


def preprocessed(env: gym.Env[Any, Any], env_id: str, config: EnvConfig) -> gym.Env[Any, Any]:
    """Wrap an emulator that runs frame by frame to show stacks of frames, as ale-py's vector environment does.

    Where that environment cannot play the id, its games begin here as they would there. config: as registered.
    """
    noop_max = config.noop_max
    if variant_of(env_id):
        env, noop_max = _Opening(env, noop_max, fire_reset_of(env_id, config)), 0
    wrapper = w.AtariPreprocessing if config.max_pool else WithoutMaxPool
    env = wrapper(
        env,
        noop_max=noop_max,
        frame_skip=config.frame_skip,
        screen_size=config.image_size,
        grayscale_obs=config.grayscale,
    )
    return stacked(env, config)


def make_atari_vec(
    env_id: str, num_envs: int, config: EnvConfig, mode: AutoresetMode, threads: int
) -> VectorEnv[Any, Any, Any]:
    """Make ale-py's vector environment, (N, S*C, H, W) uint8 observations. config: as registered."""
    words = keywords(env_id)
    vec: VectorEnv[Any, Any, Any] = ale_py.vector_env.AtariVectorEnv(
        game=words["game"],
        num_envs=num_envs,
        num_threads=min(threads, num_envs),
        max_num_frames_per_episode=config.max_episode_frames,
        repeat_action_probability=sticky_of(env_id, config),
        full_action_space=config.full_action_space,
        continuous=words["continuous"],
        continuous_action_threshold=words["continuous_action_threshold"],
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
