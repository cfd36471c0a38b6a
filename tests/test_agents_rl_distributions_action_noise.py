"""Noise that lasts: for how many steps, for each environment on its own, and at one step as the policy says."""

from __future__ import annotations

import pytest
import torch

from agents.rl.distributions import ActionNoise, Categorical, Gaussian
from agents.training.config import PolicyConfig
from rl_gen_lab.cli.errors import ConfigError

PROBS = torch.tensor([0.6, 0.3, 0.1])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(hold_steps: int, num_envs: int, steps: int) -> torch.Tensor:
    """(steps, N) numbers of a standard Gaussian."""
    noise = ActionNoise(hold_steps, num_envs, generator())
    policy = Gaussian(torch.zeros(num_envs, 1), torch.zeros(num_envs, 1))
    return torch.stack([noise.sample(policy)[:, 0] for _ in range(steps)])


def test_noise_lasts_as_long_as_asked_and_is_not_redrawn_everywhere_at_once() -> None:
    changed = draws(4, 4, 41)[1:] != draws(4, 4, 41)[:-1]
    for i in range(4):
        steps = changed[:, i].nonzero().flatten()
        assert (steps[1:] - steps[:-1] == 4).all() and len(steps) == 10
    assert (changed.sum(1) == 1).all()


def test_new_noise_at_each_step_is_what_sampling_gives() -> None:
    policy = Categorical(PROBS.log().expand(5, 3))
    noise, by_hand = ActionNoise(1, 5, generator(3)), generator(3)
    for _ in range(10):
        assert torch.equal(noise.sample(policy), policy.sample(by_hand))


def test_at_a_single_step_actions_are_distributed_as_the_policy_says() -> None:
    policy = Categorical(PROBS.log().expand(40_000, 3))
    noise = ActionNoise(7, 40_000, generator())
    for _ in range(10):
        seen = torch.bincount(noise.sample(policy), minlength=3) / 40_000
        assert seen.tolist() == pytest.approx(PROBS.tolist(), abs=5 * 0.5 / 200)


def test_kept_noise_follows_a_policy_that_changes_its_mind() -> None:
    """What is kept is the noise, not the action: a policy that is certain is obeyed at once."""
    noise = ActionNoise(100, 50, generator())
    noise.sample(Categorical(PROBS.log().expand(50, 3)))
    certain = Categorical.from_logits(torch.tensor([0.0, 0.0, 200.0]).expand(50, 3))
    assert (noise.sample(certain) == 2).all()


def test_no_fewer_than_one_step() -> None:
    with pytest.raises(ConfigError, match="noise_hold_steps must be from 1 to 1,000,000, not 0"):
        PolicyConfig(noise_hold_steps=0)
