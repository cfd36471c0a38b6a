"""PPO: its loss by hand, sequences and their states, minibatches, and the stop by KL."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fake_run import actor_of, learn, make_agent, network_of
from policy_gradient_configs import (
    ADVANTAGE,
    ENTROPY,
    LOG_PROB,
    MASK,
    PPO,
    TARGET,
    VALUE,
)

from agents import ppo
from agents.rl.rollout_buffer import SequenceBatch
from agents.training.config import PolicyConfig
from rl_gen_lab.cli.settings import DeviceConfig


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


def test_ppo_acts_in_the_precision_it_learns_in() -> None:
    agent, rollout = make_agent(replace(PPO, device=DeviceConfig(device="cpu", precision="bfloat16")))
    seen: list[torch.dtype] = []
    network_of(agent).head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    actor_of(agent).act(rollout.obs, rollout.first)
    rollout.close()
    assert seen == [torch.bfloat16]


def test_what_ppo_learns_from_begins_in_the_states_that_acting_had() -> None:
    agent, rollout = make_agent(replace(PPO, lstm_units=8, bptt_steps=4, num_envs=2))
    learn(agent, rollout, 1)
    states, log_probs = [], []
    while not actor_of(agent).buffer.full:
        states.append(agent.actor.state)
        obs, first = torch.from_numpy(rollout.obs.copy()), torch.from_numpy(rollout.first.copy())
        actions = actor_of(agent).act(rollout.obs, rollout.first)
        with torch.no_grad():
            policy, _ = network_of(agent).act(obs, first, states[-1])
        log_probs.append(policy.log_prob(agent.actor.action))
        actor_of(agent).observe(rollout.step(actions)[0])
    whole = agent._prepare_batch()
    assert whole.state is not None and whole.state.shape == (2, 8, 8) and whole.obs.shape[:2] == (4, 8)
    for k in range(4):
        torch.testing.assert_close(whole.state[:, 2 * k : 2 * k + 2], states[4 * k])
        for i in range(2):
            expected = torch.stack([log_probs[4 * k + t][i] for t in range(4)])
            torch.testing.assert_close(whole.log_prob_old[:, 2 * k + i], expected)
    rollout.close()


def test_the_first_minibatch_finds_the_policy_of_the_rollout() -> None:
    for config in (PPO, replace(PPO, lstm_units=8), replace(PPO, policy=PolicyConfig("mlp_small", normalize_obs=True))):
        agent, rollout = make_agent(replace(config, epochs=1, minibatch_size=48))
        for _ in range(3):
            learn(agent, rollout, 1)
            # One minibatch, before which nothing has moved: no divergence, nothing clipped.
            assert float(actor_of(agent).learned["losses/approx_kl"]) == pytest.approx(0.0, abs=1e-6)
            assert float(actor_of(agent).learned["losses/clipfrac"]) == 0.0
        rollout.close()


def test_every_pass_takes_each_sequence_once_in_an_order_of_its_own() -> None:
    agent, rollout = make_agent(replace(PPO, epochs=3, minibatch_size=20))
    parts = list(agent._minibatches(48))
    assert [len(part) for part in parts] == 3 * [20, 20, 8]
    passes = [torch.cat(parts[k : k + 3]).tolist() for k in (0, 3, 6)]
    assert all(sorted(order) == list(range(48)) for order in passes)
    assert len({tuple(order) for order in [*passes, list(range(48))]}) == 4
    rollout.close()


def test_learning_stops_once_the_policy_has_moved_far_enough() -> None:
    free, _ = make_agent(replace(PPO, learning_rate=1e-2))
    stopped, rollout = make_agent(replace(PPO, learning_rate=1e-2, kl_stop_nats=1e-4))
    for agent in (free, stopped):
        learn(agent, rollout, 1)
    assert free.actor.updates == 4 * 3
    assert 2 <= stopped.actor.updates < free.actor.updates
    rollout.close()
