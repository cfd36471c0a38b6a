"""Stable-Baselines3 with nothing of ours around it: its environments and wrappers, and what of a run is timed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv, MaxAndSkipEnv, NoopResetEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from agents.reference import plain
from agents.reference.settings import Config
from envs.config import EnvConfig


def test_vectors_come_from_gymnasium_s_environment_in_the_reference_s_own_vector_environment() -> None:
    env = plain.make_plain_env(Config(env="CartPole", num_envs=3))
    assert type(env) is DummyVecEnv and env.num_envs == 3
    assert [str(copy) for copy in env.envs] == ["<Monitor<TimeLimit<OrderEnforcing<PassiveEnvChecker<"
                                                "CartPoleEnv<CartPole-v1>>>>>>"] * 3  # fmt: skip


def test_pixels_have_the_emulator_s_settings_in_the_reference_s_own_wrappers() -> None:
    world = EnvConfig(sticky=0.1, frame_skip=3, noop_max=7, frame_stack=2, image_size=64, max_episode_frames=300)
    env = plain.make_plain_env(Config(env="Pong", num_envs=2, world=world))
    assert type(env) is VecFrameStack and type(env.venv) is DummyVecEnv
    assert env.observation_space.shape == (64, 64, 2)
    for copy in env.venv.envs:
        found = {}
        while hasattr(copy, "env"):
            found[type(copy)] = copy
            copy = copy.env
        assert Monitor in found and EpisodicLifeEnv not in found
        skip, noops = found[MaxAndSkipEnv], found[NoopResetEnv]
        assert isinstance(skip, MaxAndSkipEnv) and isinstance(noops, NoopResetEnv)
        assert (skip._skip, noops.noop_max) == (3, 7)
        assert copy.ale.getFloat("repeat_action_probability") == pytest.approx(0.1)
        assert copy.ale.getInt("max_num_frames_per_episode") == 300
        assert copy.spec.kwargs["frameskip"] == 1  # the wrapper skips, not the emulator too
    env.close()
    lives = plain.make_plain_env(Config(env="Pong", world=replace(world, episodic_life=True)))
    assert lives.env_is_wrapped(EpisodicLifeEnv) == [True]
    lives.close()


def test_the_warm_up_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rollouts of 32 steps: a warm-up of 40 ends after 64, the 136 steps left are 5 rollouts; the clock says 10 s."""
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(plain, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    flags = "--algo ppo --env CartPole --preset defaults --num-envs 2 --total-env-steps 200 --backbone mlp_tanh"
    flags += " --ppo.n-steps 16 --ppo.batch-size 8 --ppo.n-epochs 1"
    plain.main([str(tmp_path / "speed"), "40", *flags.split()])
    assert float((tmp_path / "speed").read_text()) == 160 / 10
