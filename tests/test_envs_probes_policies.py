"""The probes for policies keep Gymnasium's contract, and the optimal policies of their docstrings are optimal."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.probes.policies import ABOVE, AIM, DIALS, RECALL, SWITCHES, Above, Aim, Dials, Recall


# Aim's bounds are not symmetric, and Above has none above, on purpose.
@pytest.mark.filterwarnings("ignore:.*maximum value is infinity:UserWarning")
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized:UserWarning")
@pytest.mark.parametrize("env_id", [AIM, RECALL, DIALS, SWITCHES, ABOVE])
def test_environments_keep_the_contract_of_gymnasium(env_id: str) -> None:
    check_env(gym.make(env_id).unwrapped, skip_render_check=True)


def test_the_targets_are_best_and_worth_what_the_docstring_says() -> None:
    g = 0.8

    def value(first: float, second: float, steps: int) -> float:
        env = Aim()
        obs, _ = env.reset(seed=0)
        total = 0.0
        for t in range(steps):  # steps go on over the truncation: the dynamics have no end there
            action = first if obs[0] else second
            obs, reward, terminated, truncated, _ = env.step(np.array([action], np.float32))
            assert not terminated and truncated == (t == Aim.EPISODE_STEPS - 1)
            total += g**t * reward
        return total

    best = value(*Aim.TARGETS, 200)
    assert best == pytest.approx(1 / (1 - g))
    assert value(*Aim.TARGETS, 3) == pytest.approx(2.44)
    assert all(value(Aim.TARGETS[0] + d, Aim.TARGETS[1] + e, 200) < best for d, e in [(0.1, 0), (-0.1, 0), (0, 0.1)])


def test_only_the_cue_of_the_first_observation_tells_the_right_action() -> None:
    env = Recall()
    shown, cues = set(), []
    for seed in range(40):
        obs, _ = env.reset(seed=seed)
        cue = int(obs.argmax())
        cues.append(cue)
        rewards = []
        for _ in range(3):
            obs, reward, over, _, _ = env.step(np.int64(cue))
            rewards.append(reward)
            shown.add(obs.tobytes())
        assert rewards == [0.0, 0.0, 1.0] and over
        env.reset(seed=seed)
        assert [env.step(np.int64(1 - cue))[1] for _ in range(3)] == [0.0, 0.0, 0.0]
    assert len(shown) == 1  # nothing is shown after the cue
    assert 10 < sum(cues) < 30


@pytest.mark.parametrize(("switches", "by_chance"), [(False, 1.44), (True, 2.0)])
def test_each_entry_of_an_action_is_paid_by_itself(switches: bool, by_chance: float) -> None:
    env = Dials(switches)
    env.action_space.seed(1)
    returns = {"best": [], "random": []}  # type: dict[str, list[float]]
    for policy, earned in returns.items():
        for seed in range(1 if policy == "best" else 500):
            obs, _ = env.reset(seed=seed)
            over, total = False, 0.0
            while not over:
                best = env.targets[obs.argmax()]
                assert env.action_space.contains(best)
                obs, reward, over, _, _ = env.step(best if policy == "best" else env.action_space.sample())
                total += reward
            earned.append(total)
    assert returns["best"] == [4.0]
    assert np.mean(returns["random"]) == pytest.approx(by_chance, abs=0.1)


def test_what_lies_above_the_bound_is_best_a_little_above_it() -> None:
    env = Above()
    env.reset(seed=0)
    rewards = {a: env.step(np.array([a], np.float32))[1] for a in (Above.LOW, Above.TARGET, Above.TARGET + 1)}
    assert rewards == {Above.LOW: 0.0, Above.TARGET: 1.0, Above.TARGET + 1: 0.0}
