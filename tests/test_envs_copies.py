"""Copies of an environment: infos that no vector environment could merge stay below, and closing costs nothing."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np
import odd_envs
import pytest
import torch
from odd_envs import Odd
from small_envs import PLAIN

from agents.reference.learner_env import LearnerEnv
from agents.rl.interfaces import Policy
from agents.training.env_runner import EnvStepError, VectorEnvRunner
from agents.training.episode import moments
from envs.atari import UnusableEnvError
from envs.config import EnvConfig
from envs.copies import Contained, as_reward, close_quietly, say_once
from envs.factory import EMULATOR_INFO, make_env, make_vec
from rl_gen_lab.compute.seeding import Generators


def test_infos_that_gymnasium_cannot_merge_stay_below_the_vector_environment() -> None:
    with odd_envs.registered(infos=True) as name:
        plain = gym.make_vec(name, 2, vectorization_mode="sync")
        plain.reset(seed=1)
        with pytest.raises(ValueError, match="broadcast"):  # why they stay below
            for _ in range(8):
                plain.step(np.zeros(2, np.int64))
                plain.envs[0].unwrapped.steps += 1  # type: ignore[attr-defined]
        for autoreset in ("next_step", "same_step"):
            vec = make_vec(name, 2, autoreset=autoreset)  # type: ignore[arg-type]
            infos = [vec.reset(seed=1)[1]]
            for _ in range(10):
                infos.append(vec.step(np.zeros(2, np.int64))[4])
            kept = set().union(*infos)
            assert kept == ({"final_obs", "_final_obs", "final_info", "_final_info"} if "same" in autoreset else set())
            vec.close()


def test_the_lives_of_an_atari_game_are_passed_on_whatever_is_observed() -> None:
    from envs.ground_truth.wrappers import object_view

    world = EnvConfig(observe="objects", **PLAIN)
    vec = make_vec("Breakout", 1, world, observe=object_view(world))
    _, info = vec.reset(seed=1)
    assert info["lives"].tolist() == [5] and {key for key in info if key[0] != "_"} == set(EMULATOR_INFO)
    vec.close()


def test_an_environment_that_cannot_be_closed_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    say_once.cache_clear()
    with odd_envs.registered(closing=True) as name:
        vec = make_vec(name, 3)
        vec.reset(seed=1)
        vec.close()
        close_quietly(gym.make(name))
    assert Odd.closed == 4
    said = capsys.readouterr().err.splitlines()
    assert said == ["note: environment test/Odd-v0 could not be closed (AttributeError: 'NoneType' object has no attribute 'viewer')"]  # fmt: skip  # noqa: E501


def test_an_environment_that_calls_sys_exit_ends_no_process(capsys: pytest.CaptureFixture[str]) -> None:
    say_once.cache_clear()
    with odd_envs.registered(exits="close") as name:
        make_vec(name, 2).close()
        close_quietly(make_env(name))
    said = capsys.readouterr().err.splitlines()
    assert said == ["note: environment test/Odd-v0 could not be closed (SystemExit)"]
    refused = pytest.raises(UnusableEnvError, match=r"'test/Odd-v0' cannot be made: SystemExit$")
    with odd_envs.registered(exits="constructor") as name:
        with refused:
            make_vec(name, 2)
        with refused:
            make_env(name)


def test_copies_that_were_made_before_one_failed_are_closed() -> None:
    with odd_envs.registered(alone=True) as name:
        with pytest.raises(
            UnusableEnvError, match=r"in 3 copies at once, only 1 could be \(--num-envs 1\): OSError: port"
        ):
            make_vec(name, 3)
        assert Odd.alive == 0
        vec = make_vec(name, 1)
        with pytest.raises(UnusableEnvError, match="cannot be made: OSError: port 5005"):
            make_vec(name, 1)
        vec.close()
        assert Odd.alive == 0


@pytest.mark.parametrize(
    "reward",
    [1, True, np.float32(1), np.int8(1), np.bool_(True), np.array(1.0), Fraction(2, 2), Decimal(1), torch.tensor(1.0)],
    ids=lambda reward: type(reward).__name__,
)
def test_a_reward_is_a_number_of_any_type(reward: Any) -> None:
    assert as_reward(reward) == 1.0 and type(as_reward(reward)) is float
    assert as_reward(-np.float64(0.1)) == -0.1 and np.isnan(as_reward(np.float32(np.nan)))  # the latter is told later
    with pytest.raises(ValueError, match="its reward is an int too large for float32"):
        as_reward(-(10**400))


WRONG_REWARDS = [
    (np.array([1.0]), "an array of shape (1,) instead of a number"),
    (None, "None instead of a number"),
    ("1", "'1' instead of a number"),
    (1j, "1j instead of a number"),
    (1e300, "1e+300, too large for float32"),
]


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # of Gymnasium's own checker
@pytest.mark.parametrize(("reward", "said"), WRONG_REWARDS, ids=str)
def test_a_reward_that_is_none_is_named(reward: Any, said: str) -> None:
    with odd_envs.registered(pays=reward) as name:
        runner = VectorEnvRunner(name, 2, EnvConfig(), Generators(1))
        play = moments(make_env(name), name, Policy(lambda obs: np.zeros(1, int)), 1, epsilon=0.0, max_steps=9)
        learner = LearnerEnv(name, 2, EnvConfig())
        learner.reset(1)
        for step in (lambda: runner.step(np.zeros(2, int)), lambda: list(play), lambda: learner.step(np.zeros(2, int))):
            with pytest.raises(EnvStepError, match=re.escape(f"raised ValueError: its reward is {said}") + "$"):
                step()


def test_an_info_that_is_none_is_no_info() -> None:
    env = Contained(Odd())
    env.env.step = lambda action: (np.zeros(3), 1.0, False, False, None)  # type: ignore[method-assign, assignment, return-value]
    assert env.reset()[1] == {} and env.step(0)[4] == {}
