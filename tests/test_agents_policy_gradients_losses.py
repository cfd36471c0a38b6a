"""The losses of REINFORCE, actor-critic and PPO by hand: three steps, the last of them masked."""

import pytest
import torch

from agents import actor_critic, ppo, reinforce
from agents.rl.rollout_buffer import SequenceBatch

MASK = torch.tensor([[1.0], [1.0], [0.0]])
LOG_PROB, ENTROPY = torch.tensor([[-2.0], [-3.0], [9.0]]), torch.tensor([[0.5], [0.7], [9.0]])
VALUE, TARGET = torch.tensor([[1.0], [2.0], [9.0]]), torch.tensor([[3.0], [1.0], [0.0]])
ADVANTAGE = torch.tensor([[2.0], [-1.0], [9.0]])


def test_the_loss_of_actor_critic_by_hand() -> None:
    # Policy: -(-2 * 2 + -3 * -1) / 2 = 0.5. Value: (2^2 + 1^2) / 2 = 2.5. Entropy: 0.6, which makes the loss smaller.
    loss, parts = actor_critic.actor_critic_loss(
        LOG_PROB, ENTROPY, VALUE, ADVANTAGE, TARGET, MASK, value_coefficient=0.5, entropy_coefficient=0.1
    )
    assert float(loss) == pytest.approx(0.5 + 0.5 * 2.5 - 0.1 * 0.6)
    assert {name: pytest.approx(float(part)) for name, part in parts.items()} == {
        "losses/policy_loss": 0.5, "losses/value_loss": 2.5, "losses/entropy": 0.6,
    }  # fmt: skip


def test_the_loss_of_reinforce_by_hand() -> None:
    loss, policy_loss, entropy = reinforce.reinforce_loss(
        LOG_PROB[:2, 0], ENTROPY[:2, 0], ADVANTAGE[:2, 0], entropy_coefficient=0.1
    )
    assert float(loss) == pytest.approx(0.5 - 0.1 * 0.6)
    assert float(policy_loss) == pytest.approx(0.5), "without the entropy bonus, as in the other agents"
    assert float(entropy) == pytest.approx(0.6)


def test_the_loss_of_ppo_by_hand() -> None:
    check_ppo_loss(torch.zeros(3, 1), None, 2.5)


def test_a_clipped_value_that_would_be_nearer_by_the_clip_gains_nothing() -> None:
    # Values 1 and 2, targets 3 and 1. Before they were 2.5 and 1.3: within 0.2 of that they are 2.3 and 1.5, whose
    # errors 0.7^2 and 0.5^2 are smaller than 2^2 and 1: the larger ones count.
    check_ppo_loss(torch.tensor([[2.5], [1.3], [0.0]]), 0.2, 2.5)


def test_a_clipped_value_is_held_back_where_it_would_come_too_near() -> None:
    # Values 1 and 2, targets 3 and 1. Before they were 0 and 3: within 0.25 of that they are 0.25 and 2.75, whose
    # errors 2.75^2 and 1.75^2 are larger than 2^2 and 1.
    check_ppo_loss(torch.tensor([[0.0], [3.0], [0.0]]), 0.25, (2.75**2 + 1.75**2) / 2)


def check_ppo_loss(value_old: torch.Tensor, value_clip: float | None, value_loss: float) -> None:
    # Ratios 1.5 and 0.5 with clip 0.2: min(1.5 * 2, 1.2 * 2) = 2.4; min(0.5 * -1, 0.8 * -1) = -0.8; mean 0.8.
    old = LOG_PROB - torch.tensor([[1.5], [0.5], [1.0]]).log()
    batch = SequenceBatch(
        obs=VALUE, first=MASK > 0, state=None, action=MASK, log_prob_old=old, value_old=value_old, advantage=ADVANTAGE,
        target=TARGET, mask=MASK,
    )  # fmt: skip
    loss, parts = ppo.ppo_loss(
        LOG_PROB, ENTROPY, VALUE, batch, clip=0.2, value_clip=value_clip, value_coefficient=0.5, entropy_coefficient=0.1
    )
    assert float(loss) == pytest.approx(-0.8 + 0.5 * value_loss - 0.1 * 0.6)
    assert float(parts["losses/clipfrac"]) == 1.0
    assert float(parts["losses/value_loss"]) == pytest.approx(value_loss)
