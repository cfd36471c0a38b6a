"""The probes for policies keep Gymnasium's contract, and the optimal policies of their docstrings are optimal."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.probes.policies import AIM, RECALL, Aim, Recall


# Aim's bounds are not symmetric on purpose.
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized:UserWarning")
@pytest.mark.parametrize("env_id", [AIM, RECALL])
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
