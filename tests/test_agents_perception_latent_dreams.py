"""Many dreams at once are each what the model says, and begin again as Gymnasium asks."""

from __future__ import annotations

import warnings
from pathlib import Path

import gymnasium as gym
import latent_runs
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from agents.perception.dreams import register
from agents.perception.latent_dreams import LatentDreamVectorEnv, beginnings_of


def path() -> Path:
    return latent_runs.dream_run("vq-vae").path


def made(**settings: object) -> LatentDreamVectorEnv:
    return LatentDreamVectorEnv(str(path()), 3, **settings)  # type: ignore[arg-type]


def test_a_single_one_passes_gymnasiums_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(register(str(path())), render_mode="rgb_array").unwrapped, skip_render_check=False)


def test_each_row_is_what_the_model_says_of_it_alone() -> None:
    vec = made(temperature=0.0, precision="float32")
    vec.reset(seed=0)
    for name in ("codes", "hidden", "cell"):
        assert len(getattr(vec.state, name)) == 3
    state = type(vec.state)(vec.state.codes[1:2], vec.state.hidden[1:2], vec.state.cell[1:2])
    obs, reward, *_ = vec.step(np.array([0, 3, 5]))
    with torch.no_grad():
        alone, rewards, _ = vec.model.advance(state, torch.full((1, vec.dream.world.frame_skip), 3))
        assert np.allclose(obs[1], vec.model.seen(alone)[0].numpy(), atol=1e-5) and reward[1] == rewards[0]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_dream_that_is_over_begins_again(mode: AutoresetMode) -> None:
    vec = made(max_steps=2, autoreset_mode=mode)
    vec.reset(seed=0)
    with torch.no_grad():
        vec.model.outcome[-1].bias[-1] = -50.0  # type: ignore[index]
    actions = np.zeros(3, np.int64)
    vec.step(actions)
    last, _, terminated, truncated, info = vec.step(actions)
    assert truncated.all() and not terminated.any()
    states, _ = beginnings_of(path())
    fresh = vec.model.seen(states).numpy()
    if mode == AutoresetMode.SAME_STEP:
        assert info["_final_obs"].all() and not np.array_equal(info["final_obs"][0], last[0])
    else:
        last, reward, _, truncated, _ = vec.step(actions)
        assert not truncated.any() and not reward.any()
    assert all((np.abs(fresh - row).max(1) < 1e-5).any() for row in last)
    assert not vec.step(actions)[3].any()


def test_the_same_seed_gives_the_same_dreams() -> None:
    one, other = made(), made()
    for vec in (one, other):
        vec.reset(seed=7)
    for _ in range(3):
        first, second = (vec.step(np.array([1, 2, 3]))[0] for vec in (one, other))
        assert np.array_equal(first, second)
