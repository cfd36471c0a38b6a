"""Games of an agent that sees every frame in another style."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis.styled import Apply

BATCH = 32  # frames that are restyled together


def check_frames(world: EnvConfig, shape: tuple[int, ...] = (1, 1, 1)) -> None:
    """Raise ConfigError for an agent that sees no frames. shape: of what it sees."""
    if world.observe != "pixels" or len(shape) != 3:
        raise ConfigError("this agent sees no frames: only agents of frames can see them in another style")


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
