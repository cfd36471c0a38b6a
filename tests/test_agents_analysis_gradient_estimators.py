"""Estimators of the policy gradient against the exact gradient: every episode of a tiny environment is enumerated."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from agents.analysis.gradient_estimators import (
    Episodes,
    Estimator,
    advantages,
    estimator_moments,
    estimator_quality,
    gradients,
    scores,
)
from agents.rl.policy_networks import ActorCritic
from agents.training.config import PolicyConfig

# State 0: action 0 pays 1 and ends; action 1 pays -0.5 and leads to state 1, where action 0 pays 0 and action 1 pays 2.
PATHS = {(0,): [1.0], (1, 0): [-0.5, 0.0], (1, 1): [-0.5, 2.0]}
STATES = torch.eye(2)


def policy() -> ActorCritic:
    torch.manual_seed(0)
    network = ActorCritic((2,), spaces.Discrete(2), PolicyConfig("mlp_tanh"), "none")
    with torch.no_grad():
        network.head.out.weight.mul_(60.0)  # far from uniform
    return network


def log_probs(network: ActorCritic) -> Tensor:
    """Of actions in states, (2, 2)."""
    said = network(STATES[None], torch.zeros(1, 2, dtype=torch.bool), None)
    return said.policy.log_probs[0]


def probability(logs: Tensor, path: tuple[int, ...]) -> Tensor:
    return torch.stack([logs[state, action] for state, action in enumerate(path)]).sum().exp()


def exact_gradient(network: ActorCritic) -> Tensor:
    """Of the expected return, through the sum over all episodes."""
    logs = log_probs(network)
    expected = torch.stack([probability(logs, path) * sum(rewards) for path, rewards in PATHS.items()]).sum()
    parts = torch.autograd.grad(expected, list(network.parameters()))
    return torch.cat([part.flatten() for part in parts])


def batch(paths: tuple[tuple[int, ...], ...]) -> Episodes:
    steps = max(map(len, paths))
    action = torch.zeros(steps, len(paths), dtype=torch.int64)
    reward, mask = torch.zeros(steps, len(paths)), torch.zeros(steps, len(paths))
    for i, path in enumerate(paths):
        for t, a in enumerate(path):
            action[t, i], reward[t, i], mask[t, i] = a, PATHS[path][t], 1.0
    obs = STATES[:steps, None].expand(steps, len(paths), 2)
    return Episodes(obs, action, reward, mask)


def true_values(network: ActorCritic) -> list[float]:
    """Of states 0 and 1, undiscounted."""
    p = log_probs(network).detach().exp()
    second = float(p[1, 1]) * 2.0
    return [float(p[0, 0]) * 1.0 + float(p[0, 1]) * (-0.5 + second), second]


def enumerate_batches(network: ActorCritic, estimator: Estimator, values: list[float]) -> tuple[list[float], Tensor]:
    """Probability of every batch of two episodes, and the estimate from it, (batches, P)."""
    logs = log_probs(network).detach()
    chances, estimates = [], []
    for paths in product(PATHS, repeat=2):
        episodes = batch(paths)
        value = torch.tensor(values)[: len(episodes.mask), None].expand_as(episodes.mask)
        weight = advantages(estimator, episodes, value, 0.7)
        chances.append(float(probability(logs, paths[0]) * probability(logs, paths[1])))
        estimates.append(gradients(network, episodes, weight[None])[0])
    return chances, torch.stack(estimates)


def expectation(chances: list[float], estimates: Tensor) -> Tensor:
    return (torch.tensor(chances)[:, None] * estimates).sum(0)


WRONG_VALUES = [3.0, -1.0]


@pytest.mark.parametrize(
    "estimator",
    [
        Estimator("whole return"),
        Estimator("none"),
        Estimator("constant"),
        Estimator("leave-one-out"),
        Estimator("learned"),
        Estimator("gae"),
    ],
    ids=lambda e: e.kind,
)
def test_the_expectation_over_all_batches_is_the_exact_gradient(estimator: Estimator) -> None:
    network = policy()
    found = expectation(*enumerate_batches(network, estimator, WRONG_VALUES))
    torch.testing.assert_close(found, exact_gradient(network), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, 0.5])
def test_a_trace_below_one_is_without_bias_if_the_values_are_right_and_only_then(lambda_: float) -> None:
    network = policy()
    exact, estimator = exact_gradient(network), Estimator("gae", 1.0, lambda_)
    right = expectation(*enumerate_batches(network, estimator, true_values(network)))
    torch.testing.assert_close(right, exact, rtol=1e-4, atol=1e-6)
    wrong = expectation(*enumerate_batches(network, estimator, WRONG_VALUES))
    assert float((wrong - exact).norm() / exact.norm()) > 0.1


def test_discounting_and_the_mean_of_the_batch_itself_are_biased() -> None:
    network = policy()
    exact = exact_gradient(network)
    for estimator in (Estimator("none", gamma=0.5), Estimator("mean")):
        found = expectation(*enumerate_batches(network, estimator, WRONG_VALUES))
        assert float((found - exact).norm() / exact.norm()) > 0.05


def test_the_measured_quality_is_the_enumerated_one() -> None:
    """Batches are drawn as often as their probability says: then moments and biases are known exactly."""
    network = policy()
    exact = exact_gradient(network)
    estimators = [Estimator("none"), Estimator("leave-one-out"), Estimator("none", gamma=0.5)]
    known = [enumerate_batches(network, e, WRONG_VALUES) for e in estimators]
    chances = torch.tensor(known[0][0])
    draws = torch.multinomial(chances, 16_000, replacement=True, generator=torch.Generator().manual_seed(0))
    found = estimator_moments(torch.stack([estimates[i] for _, estimates in known]) for i in draws[:8_000].tolist())
    truth = estimator_moments(known[1][1][i][None] for i in draws[8_000:].tolist())
    assert found.batches == 8_000
    for quality, (weights, estimates) in zip(estimator_quality(found, truth), known, strict=True):
        mean = expectation(weights, estimates)
        variance = float((torch.tensor(weights) * (estimates - mean).square().sum(1)).sum())
        assert quality.variance * float(exact.norm()) ** 2 == pytest.approx(variance, rel=0.05)
        bias = float((mean - exact).norm() / exact.norm())
        assert quality.bias == pytest.approx(bias, abs=3 * quality.noise)
        assert quality.cosine == pytest.approx(float(mean @ exact / (mean.norm() * exact.norm())), abs=0.01)
    assert estimator_quality(found, truth)[2].bias > 5 * estimator_quality(found, truth)[2].noise


def test_scores_of_single_steps_are_those_of_autograd() -> None:
    for space, action in (
        (spaces.Discrete(3), torch.tensor([2, 0])),
        (spaces.Box(-1, 1, (2,)), torch.tensor([[0.3, -1.0], [0.0, 2.0]])),
    ):
        torch.manual_seed(1)
        network = ActorCritic((4,), space, PolicyConfig("mlp_tanh", normalize_obs=True), "none")
        obs = torch.randn(2, 4)
        found = scores(network, obs, action)
        for i in range(2):
            said = network(obs[i][None, None], torch.zeros(1, 1, dtype=torch.bool), None)
            parts = torch.autograd.grad(said.policy.log_prob(action[i][None, None]).sum(), list(network.parameters()))
            torch.testing.assert_close(found[i], torch.cat([part.flatten() for part in parts]))


def test_chunks_change_nothing() -> None:
    network = policy()
    episodes = batch(((0,), (1, 1), (1, 0)))
    weight = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        gradients(network, episodes, weight), gradients(network, episodes, weight, chunk_steps=2)
    )
