"""What of an agent is explained: values, gaps and log-probabilities, each by its own name; agents without pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from packed_agents import pong

from agents.analysis.explained import TargetName, explained, network_of, without_mean
from agents.rl.greedy_policy import greedy_policy
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic
from agents.rl.q_networks import QNetwork
from agents.rl.sampled_policy import policy_of
from agents.training.config import PolicyConfig
from rl_gen_lab.cli.errors import ConfigError

SHAPE = (4, 36, 36)
FRAMES = torch.randint(0, 255, (3, *SHAPE), generator=torch.Generator().manual_seed(0)).float()
ACTIONS = torch.tensor([0, 2, 1])


def actor(critic: str = "shared", lstm_units: int = 0, space: spaces.Space[np.ndarray] | None = None) -> ActorCritic:
    torch.manual_seed(0)
    settings = PolicyConfig("4x8s4-8")
    return ActorCritic(SHAPE, space or spaces.Discrete(3), settings, critic, lstm_units).eval()  # type: ignore[arg-type]


def scores(policy: Policy, target: TargetName) -> torch.Tensor:
    model, name = explained(policy, target)
    assert name == target
    return model.scores(FRAMES, ACTIONS).detach()


def test_targets_of_action_values() -> None:
    network = QNetwork("4x8s4-8", SHAPE, 3, False).eval()
    policy, q = greedy_policy(network), network(FRAMES).detach()
    own = q[range(3), ACTIONS]
    torch.testing.assert_close(scores(policy, "gap"), own - (q.sum(1) - own) / 2)
    torch.testing.assert_close(scores(policy, "value"), own)
    with pytest.raises(ConfigError, match="choose --target gap or value"):
        explained(policy, "log-probability")


@pytest.mark.parametrize("lstm_units", [0, 4])
@pytest.mark.parametrize("drawn", [False, True])
def test_targets_of_a_policy(lstm_units: int, drawn: bool) -> None:
    network = actor(lstm_units=lstm_units)
    policy = policy_of(network, drawn)
    first, state = torch.ones(3, dtype=torch.bool), network.start(3)
    with torch.no_grad():
        found = network(FRAMES[None], first[None], state)
    log_probs = found.policy.log_probs[0]
    torch.testing.assert_close(scores(policy, "log-probability"), log_probs[range(3), ACTIONS])
    torch.testing.assert_close(scores(policy, "value"), found.value[0])
    assert scores(policy, "gap").shape == (3,)
    model, _ = explained(policy, "gap")
    assert model.gradients(FRAMES, ACTIONS).abs().max() > 0


def test_a_critic_on_a_backbone_of_its_own_is_explained_too() -> None:
    network = actor("separate")
    model, _ = explained(greedy_policy(network), "value")
    torch.testing.assert_close(model.scores(FRAMES, ACTIONS), network.value(FRAMES))
    with pytest.raises(ConfigError, match="has no critic"):
        explained(greedy_policy(actor("none")), "value")


def test_agents_of_numbers_and_of_continuous_actions_are_refused_in_a_line() -> None:
    vector = QNetwork("mlp", (4,), 2, False)
    with pytest.raises(ConfigError, match="sees numbers, not frames"):
        explained(greedy_policy(vector), "gap")
    continuous = actor(space=spaces.Box(-1.0, 1.0, (2,), np.float32))
    with pytest.raises(ConfigError, match="discrete actions"):
        explained(greedy_policy(continuous), "gap")


def test_the_mean_frame_is_what_the_first_layer_subtracts_if_it_shows_the_game() -> None:
    network = QNetwork("4x8s4-8", SHAPE, 3, False)
    policy = greedy_policy(network)
    assert without_mean(explained(policy)[0])
    network.standardize(FRAMES[:, :1].byte())
    model, _ = explained(policy)
    assert not without_mean(model)
    torch.testing.assert_close(model.baseline[0], FRAMES[:, 0].mean(0))
    assert network_of(pong().policy) is pong().network
