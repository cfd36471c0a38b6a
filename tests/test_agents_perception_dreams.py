"""A dream of pixels passes Gymnasium's checks, is what the model says, and begins where its seed says."""

from __future__ import annotations

import warnings
from dataclasses import replace

import gymnasium as gym
import latent_runs
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from agents.perception.dreams import DreamEnv, register
from agents.training import environments
from envs.config import EnvConfig
from rl_gen_lab.generators.world_models.interfaces import painted
from rl_gen_lab.training.load import load_dream


def made() -> gym.Env[np.ndarray, np.int64]:
    env_id = register(str(latent_runs.dream_run("pixels").path))
    return gym.make(env_id, render_mode="rgb_array", temperature=0.0)


def test_it_passes_gymnasiums_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made().unwrapped, skip_render_check=False)


def test_it_shows_what_the_model_says() -> None:
    dream, env = load_dream(latent_runs.dream_run("pixels").path), made()
    first, _ = env.reset(seed=3, options={"beginning": 5})
    frames, executed = dream.beginnings
    assert np.array_equal(first, painted(frames[5, -1:], dream.world.colors)[0].permute(1, 2, 0).numpy())
    with torch.no_grad():
        state = dream.model.begin(frames[5:6], executed[5:6])
        for action in (0, 2, 3):
            obs, reward, terminated, truncated, _ = env.step(np.int64(action))
            state, imagined = dream.model.imagine(state, torch.full((1, dream.world.frame_skip), action), 0.0)
            assert np.array_equal(obs, painted(imagined.frames, dream.world.colors)[0].permute(1, 2, 0).numpy())
            assert reward == float(imagined.rewards[0]) and terminated == bool(imagined.ends[0] > 0.5)
            assert not truncated


def test_sticky_actions_are_drawn_frame_by_frame() -> None:
    path = str(latent_runs.dream_run("pixels").path)
    env = DreamEnv(path, sticky=0.99)
    env.reset(seed=0)
    asked = []
    model = env.dream.model
    real = model.imagine

    def spy(state: object, executed: torch.Tensor, *rest: object) -> object:
        asked.append(executed.clone())
        return real(state, executed, *rest)  # type: ignore[arg-type]

    object.__setattr__(env, "dream", replace(env.dream, model=_Spied(model, spy)))
    before = env.previous
    env.step(np.int64((before + 1) % 6))
    assert (asked[0] == before).float().mean() > 0.5


class _Spied:
    def __init__(self, model: object, imagine: object) -> None:
        self.model, self.imagine = model, imagine


@pytest.mark.parametrize("model", ["pixels", "vq-vae"])
def test_vector_environments_of_all_commands_run_dreams(model: str) -> None:
    name = f"dream:{latent_runs.dream_run(model).path}"
    vec = environments.make_vec(name, 2, EnvConfig(), seed=1)
    obs, _ = vec.reset(seed=1)
    again, _ = environments.make_vec(name, 2, EnvConfig()).reset(seed=1)
    assert np.array_equal(obs, again) and len(obs) == 2
    assert vec.step(vec.action_space.sample())[0].shape == obs.shape
    task = environments.task_fingerprint(register(name.partition(":")[2]), EnvConfig(), 0.0)
    assert "dreams/Pong_" in task.text
