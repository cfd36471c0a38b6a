"""REINFORCE, actor-critic and PPO learn CartPole from their own presets, shortened; nothing passes without learning.

A test tries one seed, and another if that fails. Of 20 seeds tried for each agent (30 for PPO) none failed: with 95 %
confidence fewer than 1 in 7 do, and both in fewer than 1 of 50 trials. On one machine the same seeds score the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_run import train

from agents import actor_critic, ppo, reinforce
from agents.training.cli import parse
from agents.training.evaluate import evaluate

pytestmark = pytest.mark.slow

SEEDS = (1, 2)
# Actions are sampled while scoring: that of an untrained policy is nearly uniform and scores 22, whereas the likeliest
# action of some untrained network balances the pole by chance (275 was seen).
GOAL = 75.0
# Settings, steps.
CASES: dict[str, tuple[Any, int]] = {
    "ppo": (ppo.Config, 12_000),
    "actor_critic": (actor_critic.Config, 30_000),
    "reinforce": (reinforce.Config, 45_000),
}


def score(name: str, seed: int, steps: int) -> float:
    """Mean return of 20 episodes of the policy that `steps` agent steps have made."""
    config = parse(CASES[name][0], name, ["--env", "CartPole", "--seed", str(seed)])
    network: Any = train(config, env_steps=steps).network
    draw = torch.Generator().manual_seed(seed)

    def act(obs: np.ndarray) -> np.ndarray:
        first = torch.zeros(len(obs), dtype=torch.bool)
        with torch.no_grad():
            policy, _ = network.act(torch.from_numpy(obs), first, None)
        return np.asarray(network.head.to_env(policy.sample(draw)))

    return float(np.mean(evaluate("CartPole-v1", config.world, act, 20, seed).returns))


@pytest.mark.parametrize("name", CASES)
def test_cartpole_is_learned(name: str) -> None:
    scores: list[float] = []
    for seed in SEEDS:
        scores.append(score(name, seed, CASES[name][1]))
        if scores[-1] > GOAL:
            return
    raise AssertionError(f"mean returns {scores}, at least one should be above {GOAL}")


@pytest.mark.parametrize("name", CASES)
def test_an_untrained_agent_would_not_pass(name: str) -> None:
    assert max(score(name, seed, 0) for seed in range(1, 4)) < GOAL / 2
