"""Exploration by numbers on paper, and draws that are independent for each environment."""

import numpy as np
import pytest
import scipy.stats
import torch

from agents.rl.exploration import PastWeights, TemporallyExtendedEpsilonGreedy, epsilon_greedy, epsilon_ladder


def test_the_ladder_of_ape_x_by_hand() -> None:
    # 0.5^(1 + 7 i / 7) for eight environments: a half, a quarter, ... down to 1/256.
    np.testing.assert_allclose(epsilon_ladder(0.5, 8, 7.0), [2.0 ** -(1 + i) for i in range(8)])
    np.testing.assert_allclose(epsilon_ladder(0.4, 3, 2.0), [0.4, 0.16, 0.064])


def test_a_ladder_without_spread_or_with_one_rung_is_flat() -> None:
    np.testing.assert_array_equal(epsilon_ladder(0.3, 5, 0.0), [0.3] * 5)
    np.testing.assert_array_equal(epsilon_ladder(0.3, 1, 7.0), [0.3])
    np.testing.assert_array_equal(epsilon_ladder(1.0, 4, 7.0), [1.0] * 4)
    np.testing.assert_array_equal(epsilon_ladder(0.0, 4, 7.0), [0.0] * 4)


def draws(epsilon: list[float], num_actions: int, rounds: int) -> np.ndarray:
    """(rounds, N) actions where the greedy one is always 0."""
    rng = np.random.default_rng(2)
    greedy = np.zeros(len(epsilon), dtype=np.int64)
    return np.stack([epsilon_greedy(greedy, np.array(epsilon), num_actions, rng) for _ in range(rounds)])


def test_every_environment_explores_as_often_as_its_own_epsilon_says() -> None:
    """Binomial tests; right code fails one of them once in a million seeds."""
    epsilon = [0.0, 0.1, 0.5, 1.0]
    found = draws(epsilon, 4, 4_000)
    for i, e in enumerate(epsilon):
        assert scipy.stats.binomtest(int((found[:, i] != 0).sum()), 4_000, 0.75 * e).pvalue > 1e-6
    assert (found[:, 0] == 0).all()


def test_environments_explore_independently() -> None:
    """One coin for all would make the joint table diagonal; one die for all would repeat the action."""
    found = draws([0.5, 0.5], 1_000, 4_000)
    explored = found != 0
    table = [[int((explored[:, 0] == a).astype(int) @ (explored[:, 1] == b)) for b in (0, 1)] for a in (0, 1)]
    assert scipy.stats.chisquare(np.ravel(table), 1_000 * np.ones(4)).pvalue > 1e-6
    both = explored.all(axis=1)
    assert (found[both, 0] == found[both, 1]).mean() < 0.02


def test_random_actions_are_uniform_over_all_actions_the_greedy_one_included() -> None:
    """Chi-square test; right code fails it once in a million seeds."""
    found = draws([1.0] * 4, 6, 3_000)
    assert scipy.stats.chisquare(np.bincount(found.ravel(), minlength=6)).pvalue > 1e-6


def test_without_exploration_the_greedy_actions_come_back_as_they_were() -> None:
    greedy = np.array([3, 1, 2], dtype=np.int64)
    found = epsilon_greedy(greedy, np.zeros(3), 4, np.random.default_rng(0))
    np.testing.assert_array_equal(found, greedy)
    assert found.dtype == np.int64


def held(epsilon: list[float], hold_steps: int, steps: int) -> np.ndarray:
    """(steps, N) actions where the greedy one is always -1."""
    exploration = TemporallyExtendedEpsilonGreedy(len(epsilon), 1_000, hold_steps, np.random.default_rng(4))
    greedy = -np.ones(len(epsilon), dtype=np.int64)
    return np.stack([exploration.choose(greedy, np.array(epsilon)) for _ in range(steps)])


def test_held_random_actions_last_their_steps_and_take_the_same_share_of_them() -> None:
    found = held([0.0, 0.1, 0.5, 1.0], 8, 16_000)
    for i, e in enumerate([0.0, 0.1, 0.5, 1.0]):
        # A random action is one draw for 8 steps: 5 standard errors of 2,000 of them; right code fails once in 10^6.
        assert (found[:, i] >= 0).mean() == pytest.approx(e, abs=5 * np.sqrt(e * (1 - e) / 2_000) + 1e-9)
    always = found[:, 3].reshape(-1, 8)
    assert (always == always[:, :1]).all() and len(np.unique(always)) > 500
    seldom = found[:, 1]
    starts = np.flatnonzero((seldom[1:] >= 0) & (seldom[:-1] < 0)) + 1
    for start in starts[:-1]:
        assert (seldom[start : start + 8] == seldom[start]).all()


def test_a_random_action_of_one_step_is_plain_epsilon_greedy() -> None:
    exploration, rng = TemporallyExtendedEpsilonGreedy(3, 5, 1, np.random.default_rng(7)), np.random.default_rng(7)
    greedy, epsilon = np.array([1, 2, 3]), np.array([0.2, 0.5, 0.9])
    for _ in range(20):
        found = exploration.choose(greedy, epsilon)
        np.testing.assert_array_equal(found, epsilon_greedy(greedy, epsilon, 5, rng))


def test_held_exploration_goes_on_from_its_state() -> None:
    one, two = (TemporallyExtendedEpsilonGreedy(4, 5, 6, np.random.default_rng(1)) for _ in range(2))
    greedy, epsilon = np.zeros(4, dtype=np.int64), np.full(4, 0.5)
    for _ in range(9):
        one.choose(greedy, epsilon)
        two.rng.random(4), two.rng.integers(5, size=4)
    two.load_state_dict(one.state_dict())
    for _ in range(30):
        np.testing.assert_array_equal(one.choose(greedy, epsilon), two.choose(greedy, epsilon))


def weights_after(past: PastWeights, network: torch.nn.Linear, updates: range) -> list[float]:
    """The weight that acts after each update, the k-th of which sets the weight to k."""
    acting = []
    for update in updates:
        torch.nn.init.constant_(network.weight, float(update))
        past.push()
        acting.append(past.network.get_parameter("weight").item())
    return acting


@pytest.mark.parametrize(("lag", "expected"), [(0, [1, 2, 3, 4, 5]), (1, [0, 1, 2, 3, 4]), (3, [0, 0, 0, 1, 2])])
def test_an_agent_acts_by_the_weights_of_so_many_updates_ago(lag: int, expected: list[int]) -> None:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(network.weight)
    assert weights_after(PastWeights(network, lag), network, range(1, 6)) == expected


def test_past_weights_go_on_from_a_checkpoint_and_are_not_those_of_another_lag() -> None:
    network, other = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    past = PastWeights(network, 3)
    weights_after(past, network, range(1, 3))  # two of the three are kept so far
    again = PastWeights(other, 3)
    again.load_state_dict(past.state_dict())
    assert weights_after(again, other, range(3, 8)) == weights_after(past, network, range(3, 8))
    for lag in (0, 1):
        with pytest.raises(ValueError, match=f"acting_lag_updates {lag} is not what the checkpoint was made with"):
            PastWeights(network, lag).load_state_dict(past.state_dict())
