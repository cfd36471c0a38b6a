"""What of an agent is attacked: its own scores, bounds that hold, and agents that cannot be attacked."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from packed_agents import pong, pong_frames

from agents.analysis.attacked import Target
from agents.rl.greedy_policy import greedy_policy
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic
from agents.rl.q_networks import MeanQNetwork, QEnsemble, QNetwork
from agents.training.config import PolicyConfig
from rl_gen_lab.cli.errors import ConfigError

SHAPE = (4, 84, 84)


def actor(backbone: str, shape: tuple[int, ...], space: spaces.Space[object], lstm_units: int = 0) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(shape, space, PolicyConfig(backbone=backbone), "shared", lstm_units)


def test_scores_are_those_by_which_the_agent_chooses() -> None:
    frames = np.stack([one.seen.obs for one in pong_frames()])
    scores = Target.of(pong().policy).scores(torch.from_numpy(frames).float())
    assert (scores.argmax(1).numpy() == pong().policy.decide(frames)[0]).all()
    policy = greedy_policy(actor("8x8s4-4x4s2-8", SHAPE, spaces.Discrete(3)))
    scores = Target.of(policy).scores(torch.from_numpy(frames).float())
    np.testing.assert_allclose(scores.exp().detach().numpy(), policy.decide(frames)[1], rtol=1e-5)


def test_margins_hold_for_every_kind_of_network_and_are_exact_without_a_budget() -> None:
    torch.manual_seed(0)
    first = QNetwork("8x8s4-4x4s2-8", SHAPE, 4, dueling=True)
    second = QNetwork("8x8s4-4x4s2-8", SHAPE, 4, dueling=True)
    ensemble = QEnsemble(MeanQNetwork([first, second]), 1)
    ensemble.snapshot()
    with torch.no_grad():
        for weight in ensemble.snapshots.parameters():
            weight += 0.05 * torch.randn_like(weight)
    frames = torch.randint(0, 256, (3, *SHAPE)).float()
    for network in (first, ensemble, actor("8x8s4-4x4s2-8", SHAPE, spaces.Discrete(4))):
        target = Target.of(greedy_policy(network))
        assert target.has_bounds(SHAPE)
        with torch.no_grad():
            for noise in (torch.zeros_like(frames), *(2 * torch.rand_like(frames).round() * 2 - 2 for _ in range(5))):
                scores = target.scores((frames + noise).clamp(0, 255))
                gaps = scores[:, :, None] - scores[:, None]
                assert (gaps >= target.margins(frames, 2.0) - 1e-4).all()
            scores = target.scores(frames)
        torch.testing.assert_close(
            target.margins(frames, 0.0), scores[:, :, None] - scores[:, None], atol=1e-4, rtol=1e-4
        )


def test_networks_without_rules_have_no_bounds() -> None:
    network = QNetwork("resnet", SHAPE, 3, dueling=False).eval()
    assert not Target.of(greedy_policy(network)).has_bounds(SHAPE)


def test_agents_that_cannot_be_attacked_are_refused_in_a_line_that_says_what_can_be() -> None:
    with pytest.raises(ConfigError, match=r"sees numbers, not frames.*agents of frames can be attacked"):
        Target.of(greedy_policy(QNetwork("mlp_small", (4,), 2, dueling=False)))
    with pytest.raises(ConfigError, match=r"has a memory.*--lstm-units"):
        Target.of(greedy_policy(actor("8x8s4-4x4s2-8", SHAPE, spaces.Discrete(3), lstm_units=4)))
    box = spaces.Box(-np.ones(2, np.float32), np.ones(2, np.float32))
    with pytest.raises(ConfigError, match="discrete actions"):
        Target.of(greedy_policy(actor("8x8s4-4x4s2-8", SHAPE, box)))
    with pytest.raises(ConfigError, match="no scores"):
        Target.of(Policy(lambda obs: np.zeros(len(obs))))


def test_attacks_leave_the_network_as_it_was() -> None:
    network = pong().network
    before = copy.deepcopy(network.state_dict())
    Target(network).margins(torch.zeros(1, *SHAPE), 1.0)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
