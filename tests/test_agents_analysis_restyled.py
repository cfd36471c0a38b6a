"""Observations in another style: each frame of a stack by itself, gray ones as gray."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.analysis.restyled import channels_of, one_by_one, seen_as
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError


def brighter_red(pictures: torch.Tensor) -> torch.Tensor:
    """Adds 0.3 to red only."""
    assert pictures.shape[1] == 3
    return (pictures + torch.tensor([0.3, 0.0, 0.0]).reshape(1, 3, 1, 1)).clamp(0, 1)


def test_gray_stacks_and_colors_keep_their_order() -> None:
    obs = np.random.default_rng(0).integers(0, 150, (3, 4, 6, 5), np.uint8)
    seen = seen_as(brighter_red, 1)(obs, np.zeros(3))
    assert seen.shape == obs.shape and np.abs(seen.astype(int) - obs - 25.5).max() <= 1  # a third of 0.3 * 255
    colors = np.random.default_rng(1).integers(0, 150, (2, 6, 4, 4), np.uint8)  # two frames
    found = seen_as(one_by_one(brighter_red), 3)(colors, np.zeros(2)).astype(int) - colors
    assert (np.abs(found[:, [0, 3]] - 76.5) <= 1).all() and (found[:, [1, 2, 4, 5]] == 0).all()


def test_agents_of_numbers_are_refused() -> None:
    for env, world in [("Pong", EnvConfig(observe="objects")), ("CartPole", EnvConfig())]:
        with pytest.raises(ConfigError, match="sees no frames"):
            channels_of(env, world)


def test_the_channels_of_a_frame_are_those_that_are_seen() -> None:
    assert channels_of("Pong", EnvConfig()) == 1
    assert channels_of("Pong", EnvConfig(grayscale=False, fire_reset=True)) == 3
    with pytest.raises(ConfigError, match="frames of 2 channels"):
        channels_of("envs.probes.pictures:Pictures/Quarter-v0", EnvConfig())
