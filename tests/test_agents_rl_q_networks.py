"""Q-networks: shapes, the dueling sum by hand, and means of several."""

from __future__ import annotations

import pytest
import torch

from agents.rl.q_networks import MeanQNetwork, QEnsemble, QNetwork
from rl_gen_lab.cli.errors import ConfigError


@pytest.mark.parametrize(("backbone", "shape"), [("mlp", (4,)), ("small", (4, 84, 84)), ("auto", (2, 42, 42))])
@pytest.mark.parametrize("dueling", [False, True])
def test_action_values_have_one_row_for_each_observation(backbone: str, shape: tuple[int, ...], dueling: bool) -> None:
    network = QNetwork(backbone, shape, 6, dueling)
    obs = torch.randint(256, (3, *shape), dtype=torch.uint8) if len(shape) == 3 else torch.randn(3, *shape)
    q = network(obs)
    assert q.shape == (3, 6)
    assert q.dtype == torch.float32
    # Rows do not depend on one another.
    torch.testing.assert_close(network(obs[1:2]), q[1:2], rtol=1e-4, atol=1e-5)


def test_dueling_is_value_plus_advantage_minus_its_mean() -> None:
    torch.manual_seed(0)
    network = QNetwork("mlp", (4,), 3, dueling=True)
    obs = torch.randn(8, 4)
    with torch.no_grad():
        features = network.backbone(obs)
        advantage = features @ network.advantage.weight.T + network.advantage.bias
        assert network.value is not None
        value = features @ network.value.weight.T + network.value.bias
        q = network(obs)
    torch.testing.assert_close(q, value + advantage - advantage.mean(1, keepdim=True))
    torch.testing.assert_close(q.mean(1, keepdim=True), value)


def test_only_dueling_forgets_a_constant_added_to_all_advantages() -> None:
    for dueling in (False, True):
        torch.manual_seed(0)
        network = QNetwork("mlp", (4,), 3, dueling)
        obs = torch.randn(2, 4)
        with torch.no_grad():
            before = network(obs)
            network.advantage.bias.add_(5.0)
            moved = network(obs) - before
        torch.testing.assert_close(moved, torch.full((2, 3), 0.0 if dueling else 5.0), atol=1e-5, rtol=0)


def test_every_weight_learns() -> None:
    network = QNetwork("small", (4, 84, 84), 6, dueling=True)
    network(torch.randint(256, (4, 4, 84, 84), dtype=torch.uint8)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_backbone_for_the_wrong_kind_of_observation_is_refused() -> None:
    with pytest.raises(ConfigError, match="'nature' reads pixels"):
        QNetwork("nature", (4,), 2, dueling=False)


def test_the_mean_is_over_all_networks_of_all_generations() -> None:
    torch.manual_seed(0)
    networks = [QNetwork("mlp", (4,), 3, dueling=True) for _ in range(2)]
    learners, obs = MeanQNetwork(networks), torch.randn(5, 4)
    torch.testing.assert_close(learners(obs), (networks[0](obs) + networks[1](obs)) / 2)
    ensemble = QEnsemble(learners, 2)
    torch.testing.assert_close(ensemble(obs), learners(obs))  # no snapshot yet
    before = learners(obs).detach()
    ensemble.snapshot()
    with torch.no_grad():
        networks[1].advantage.weight.add_(1.0)
    assert ensemble.members[:2] == networks and len(ensemble.members) == 4
    torch.testing.assert_close(ensemble(obs), (before + learners(obs)) / 2)
    assert not torch.allclose(learners(obs), before)
