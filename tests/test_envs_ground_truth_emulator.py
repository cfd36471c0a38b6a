"""Memory of an emulator: types, and numbers written in it as decimal digits."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from envs.ground_truth.emulator import decimal_digits, palette_screen, ram, rgb_image


@pytest.mark.parametrize(("byte", "number"), [(0x00, 0), (0x09, 9), (0x10, 10), (0x42, 42), (0x99, 99)])
def test_a_byte_holds_two_decimal_digits(byte: int, number: int) -> None:
    assert decimal_digits(byte) == number


def test_differences_of_bytes_do_not_wrap_around() -> None:
    env = gym.make("ALE/Pong-v5", frameskip=1)
    env.reset(seed=0)
    content = ram(env)
    assert content.shape == (128,) and content.dtype == np.int64 and content.min() >= 0 and content.max() <= 255
    assert (content - 256 < 0).all()
    env.close()


def test_indices_and_colors_are_of_the_same_screen() -> None:
    env = gym.make("ALE/Pong-v5", frameskip=1)
    env.reset(seed=0)
    for _ in range(70):
        env.step(0)
    indices, colors = palette_screen(env), rgb_image(env)
    assert indices.shape == (210, 160) and colors.shape == (210, 160, 3)
    assert len(np.unique(indices)) > 3
    for index in np.unique(indices):
        assert len(np.unique(colors[indices == index], axis=0)) == 1
    env.close()
