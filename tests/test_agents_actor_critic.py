"""Actor-critic: its loss by hand, the critic's further updates, and the policy that it learns from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from fake_run import actor_of, learn, make_agent, network_of
from policy_gradient_configs import (
    A2C,
    ADVANTAGE,
    ENTROPY,
    LOG_PROB,
    MASK,
    TARGET,
    VALUE,
)

from agents import actor_critic


def test_the_loss_of_actor_critic_by_hand() -> None:
    # Policy: -(-2 * 2 + -3 * -1) / 2 = 0.5. Value: (2^2 + 1^2) / 2 = 2.5. Entropy: 0.6, which makes the loss smaller.
    loss, parts = actor_critic.actor_critic_loss(
        LOG_PROB, ENTROPY, VALUE, ADVANTAGE, TARGET, MASK, value_coefficient=0.5, entropy_coefficient=0.1
    )
    assert float(loss) == pytest.approx(0.5 + 0.5 * 2.5 - 0.1 * 0.6)
    assert {name: pytest.approx(float(part)) for name, part in parts.items()} == {
        "losses/policy_loss": 0.5, "losses/value_loss": 2.5, "losses/entropy": 0.6,
    }  # fmt: skip


@pytest.mark.slow
def test_further_steps_of_the_critic_leave_the_policy_alone_and_bring_the_value_nearer_to_its_targets() -> None:
    def after_one_update(value_updates: int) -> Any:
        agent, rollout = make_agent(replace(A2C, shared_backbone=False, value_updates=value_updates))
        obs, targets = {}, {}

        def watch(target: torch.Tensor, mask: torch.Tensor, learning_rate: float) -> None:
            obs["seen"], targets["made"] = agent.actor.buffer.obs[:-1].flatten(0, 1).clone(), target.flatten()
            fit(target, mask, learning_rate)

        fit, agent._fit_value = agent._fit_value, watch
        learn(agent, rollout, 1)
        rollout.close()
        error = (targets["made"] - network_of(agent).value(obs["seen"])).square().mean().item()
        policy = [p for name, p in network_of(agent).named_parameters() if not name.startswith("value_")]
        return torch.nn.utils.parameters_to_vector(policy), error

    (policy, error), (same, smaller) = after_one_update(1), after_one_update(5)
    assert torch.equal(policy, same)
    assert smaller < error


def test_what_actor_critic_learns_from_is_the_policy_that_acted_with_its_memory() -> None:
    agent, rollout = make_agent(replace(A2C, lstm_units=8, num_envs=2))
    said: list[Any] = []
    forward = agent._forward

    def spy(*arguments: Any) -> Any:
        said.append(forward(*arguments))
        return said[-1]

    agent._forward = spy
    begun = 0
    for _ in range(8):
        log_probs = []
        while not actor_of(agent).buffer.full:
            state, obs, first = (
                agent.actor.state,
                torch.from_numpy(rollout.obs.copy()),
                torch.from_numpy(rollout.first.copy()),
            )
            begun += int(first.sum())
            actions = actor_of(agent).act(rollout.obs, rollout.first)
            with torch.no_grad():
                policy, _ = network_of(agent).act(obs, first, state)
            log_probs.append(policy.log_prob(agent.actor.action))
            actor_of(agent).observe(rollout.step(actions)[0])
        taken = agent.actor.buffer.action.clone()
        agent.learn()
        torch.testing.assert_close(said[-1].policy[:-1].log_prob(taken).detach(), torch.stack(log_probs))
    assert begun > 4  # episodes began within rollouts too
    rollout.close()
