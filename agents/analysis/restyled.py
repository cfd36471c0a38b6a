"""Games of an agent that sees every frame in another style."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from agents.training.environments import make_env, without_fire_reset
from envs.config import EnvConfig
from envs.copies import close_quietly
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis.styled import Apply

BATCH = 32  # frames that are restyled together


def channels_of(env: str, world: EnvConfig) -> int:
    """Return the channels of the frames that an agent sees. Raises: ConfigError where it sees none, or other channels.

    What is observed decides: `world` says pixels of numbers too, those of an environment without pictures.
    """
    made = make_env(env, without_fire_reset(world))
    shape = made.observation_space.shape or ()
    close_quietly(made)
    if len(shape) != 3:
        raise ConfigError("this agent sees no frames: only agents of frames can see them in another style")
    if (channels := shape[0] // world.frame_stack) not in (1, 3):
        raise ConfigError(f"this agent sees frames of {channels} channels: gray and colored ones have a style")
    return channels


def seen_as(apply: Apply, depth: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a change of observations (N, C, H, W) uint8: each frame of each stack is restyled by itself.

    depth: channels of a frame; gray frames are restyled as gray colors, of which the mean is seen. apply: as of
    `styled.Stylist`, one picture or several at a time.
    """

    @torch.no_grad()
    def change(obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        frames = torch.from_numpy(np.asarray(obs)).float().div(255)
        singles = frames.reshape(-1, depth, *frames.shape[2:]).expand(-1, 3, -1, -1)
        made = torch.cat([apply(part) for part in singles.split(BATCH)])
        back = made if depth == 3 else made.mean(1, keepdim=True)
        result: np.ndarray = (255 * back).round().clamp(0, 255).byte().reshape(obs.shape).numpy()
        return result

    return change


def one_by_one(apply: Apply) -> Apply:
    """Return what restyles several pictures, of what restyles one."""
    return lambda pictures: torch.cat([apply(picture[None]) for picture in pictures])
