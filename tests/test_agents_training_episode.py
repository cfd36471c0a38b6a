"""One episode, moment by moment: what is decided, what is said of an environment that raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import odd_envs
import pytest

from agents.rl.interfaces import Policy
from agents.training.env_runner import EnvStepError
from agents.training.environments import make_env
from agents.training.episode import guarded, moments
from rl_gen_lab.cli.errors import ConfigError


def always(action: int) -> Policy:
    return Policy(lambda obs: np.full(len(obs), action))


def test_each_moment_precedes_its_action_and_the_last_has_none() -> None:
    with odd_envs.registered(length=3) as name:
        env = make_env(name)
        found = list(moments(env, name, always(1), 1, epsilon=0.0, max_steps=9))
        cut = list(moments(env, name, always(1), 1, epsilon=0.0, max_steps=2))
    assert [(m.action, m.total, m.ended) for m in found] == [
        (1, 0, False),
        (1, 1, False),
        (1, 2, False),
        (None, 3, True),
    ]
    assert [(m.action, m.total, m.ended) for m in cut] == [(1, 0, False), (1, 1, False), (None, 2, False)]


def test_an_environment_that_raises_is_named_with_the_step() -> None:
    with odd_envs.registered(raises_at=2) as name:
        play = moments(make_env(name), name, always(0), 1, epsilon=0.0, max_steps=9)
        with pytest.raises(EnvStepError, match=r"test/Odd-v0, step 2: its step raised ZeroDivisionError: the physics"):
            list(play)


@pytest.mark.parametrize(("method", "step"), [("reset", 0), ("step", 1)])
def test_an_environment_that_calls_sys_exit_is_named(method: str, step: int) -> None:
    with odd_envs.registered(exits=method) as name:
        play = moments(make_env(name), name, always(0), 1, epsilon=0.0, max_steps=9)
        with pytest.raises(EnvStepError, match=f"test/Odd-v0, step {step}: its {method} raised SystemExit$"):
            list(play)


def test_what_a_user_can_mend_is_passed_on_as_it_is() -> None:
    def refuse() -> Any:
        raise ConfigError("mend this")

    with pytest.raises(ConfigError, match="mend this"):
        guarded("it", 0, "reset", refuse)


def test_a_policy_that_draws_is_seeded() -> None:
    seeds: list[int] = []
    policy = Policy(always(0).act, sample=lambda obs: (np.zeros(len(obs), np.int64), None), seed=seeds.append)
    with odd_envs.registered() as name:
        list(moments(make_env(name), name, policy, 77, epsilon=0.0, max_steps=1))
    assert seeds == [77]
