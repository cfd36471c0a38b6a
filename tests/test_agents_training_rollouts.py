"""Actors in this process: they play and learn what an agent without them does, restart and resume exactly, and lag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from frozen_play import agent_of, assert_same, environments, play, played, weights_after, with_actors
from policy_gradient_configs import A2C, PPO

from agents import actor_critic
from agents.training.config import PolicyConfig, RolloutsConfig
from agents.training.rollouts import ActorRollouts
from rl_gen_lab.cli.errors import ConfigError

CONTINUOUS = replace(A2C, env="Pendulum", policy=PolicyConfig("mlp_small", noise_hold_steps=3))
LSTM = replace(A2C, lstm_units=8)


@pytest.mark.parametrize("config", [A2C, PPO, CONTINUOUS, LSTM], ids=["a2c", "ppo", "continuous", "lstm"])
def test_one_actor_plays_what_the_agent_plays_without_it(config: Any) -> None:
    rows = 3 * config.rollout_steps + 5
    alone = played(config, rows)
    assert_same(alone, played(with_actors(config), rows))
    assert not np.array_equal(alone[0][0].obs, alone[-1][0].obs)


@pytest.mark.parametrize("config", [A2C, PPO, CONTINUOUS, replace(LSTM, normalize_rewards=True)])
def test_at_lag_0_an_agent_learns_the_weights_that_it_learns_without_actors(config: Any) -> None:
    alone, by_actor = (weights_after(c, 4)[0] for c in (config, with_actors(config)))
    assert torch.equal(alone, by_actor)
    assert not torch.equal(alone, weights_after(config, 3)[0])


def test_several_actors_play_games_of_their_own() -> None:
    two = played(with_actors(replace(A2C, num_envs=4), actors=2), 20)
    obs = np.stack([step.obs for step, _ in two])
    assert not any(np.array_equal(obs[:, i], obs[:, j]) for i in range(4) for j in range(i))
    one = played(replace(A2C, num_envs=2), 20)  # the first of two actors has the games of one
    assert np.array_equal(obs[:, :2], np.stack([step.obs for step, _ in one]))
    assert {e.env for _, episodes in played(with_actors(replace(A2C, num_envs=4), actors=2), 80) for e in episodes} == {
        *range(4)
    }


@pytest.mark.parametrize("lag", [0, 1, "free"])
def test_a_restart_in_the_middle_of_a_rollout_begins_new_games_and_drops_what_was_ahead(lag: Any) -> None:
    config = with_actors(replace(A2C, num_envs=4), actors=2, lag=lag)
    runner = environments(config)
    agent = agent_of(config, runner)
    play(agent, runner, 3)
    agent.actor.cut(agent.learn)
    runner.restart()
    dropped = runner.totals()["rollouts/dropped_steps"]
    assert runner.first.all()
    ((step, _),) = play(agent, runner, 1)
    assert step.first.all() and agent.actor.buffer.length == 5  # 3 rows, the one of the cut, and the first of new games
    play(agent, runner, A2C.rollout_steps - 5)
    assert agent.actor.buffer.length == 0  # the chunk was as long as what was left of the rollout
    total = runner.totals()["rollouts/dropped_steps"]
    runner.close()
    rest, ahead = (8 - 3) * 4, {0: 0, 1: 1, "free": 3}[lag] * 8 * 4
    assert dropped == rest and total == rest + ahead


def test_a_restart_does_not_repeat_noise() -> None:
    config = with_actors(A2C)
    runner = environments(config)
    agent = agent_of(config, runner)
    plain_runner = environments(A2C)
    plain = agent_of(A2C, plain_runner)
    for each, games in ((agent, runner), (plain, plain_runner)):
        play(each, games, 3)
        each.actor.cut(each.learn)
        games.restart()
    assert_same(play(plain, plain_runner, 9), play(agent, runner, 9))
    runner.close()
    plain_runner.close()


@pytest.mark.parametrize("config", [A2C, CONTINUOUS, LSTM], ids=["a2c", "continuous", "lstm"])
@pytest.mark.parametrize("rows", [0, 8, 11])
def test_what_is_resumed_at_lag_0_is_what_would_have_come(config: Any, rows: int) -> None:
    config = with_actors(replace(config, num_envs=4), actors=2)
    runner = environments(config)
    agent = agent_of(config, runner)
    play(agent, runner, rows)
    saved, of_agent = runner.state_dict(), agent.actor.state_dict()
    expected = play(agent, runner, 21)
    runner.close()
    again = environments(config)
    twin = agent_of(config, again)
    twin.actor.load_state_dict(of_agent)
    again.load_state_dict(saved)
    assert_same(expected, play(twin, again, 21))
    again.close()


@pytest.mark.parametrize("change", [{"minds": np.zeros((3, 4), np.uint8)}, {"actions": np.zeros((0, 5), int)}])
def test_a_state_of_other_actors_is_refused(change: dict[str, Any]) -> None:
    runner = environments(with_actors(replace(A2C, num_envs=4), actors=2))
    with pytest.raises(ValueError, match="are none of these actors"):
        runner.load_state_dict(runner.state_dict() | change)


@pytest.mark.parametrize(("lag", "updates"), [(0, 0), (1, 1), (3, 3)])
def test_the_lag_is_the_number_of_rollouts_between_playing_and_learning(lag: int, updates: int) -> None:
    _, run, totals = weights_after(with_actors(A2C, lag=lag), 8)
    assert totals["rollouts/lag_updates_max"] == updates
    # The first rollouts are played by the weights that there are: lags 0, 1, ..., and then as agreed.
    assert totals["rollouts/lag_updates"] == pytest.approx(np.mean([min(lag, j) for j in range(run.learnings)]))


def test_free_actors_here_are_as_far_ahead_as_the_queue_is_long() -> None:
    _, _, totals = weights_after(with_actors(A2C, lag="free", queue=2), 6)
    assert totals["rollouts/lag_updates_max"] == 2 and totals["rollouts/queue_percent"] > 50


def test_probabilities_of_old_policies_are_kept_with_the_rollout_and_others_are_not() -> None:
    for lag in (0, 1):
        config = with_actors(A2C, lag=lag)
        runner = environments(config)
        agent = agent_of(config, runner)
        play(agent, runner, 5)
        buffer = agent.actor.buffer
        output = agent.actor.network(buffer.obs, buffer.first, None)
        if lag == 0:
            assert buffer.log_prob is None
        else:  # the policy is frozen, so they are those of the network as it is
            now = output.policy[:-1].log_prob(buffer.action)[:5]
            torch.testing.assert_close(buffer.log_prob[:5], now.detach(), rtol=1e-5, atol=1e-6)
        runner.close()


def test_vtrace_changes_what_stale_rollouts_teach_and_nothing_where_they_are_fresh() -> None:
    plain, corrected = (replace(A2C, learning_rate=0.02, vtrace=on) for on in (False, True))
    stale = [weights_after(with_actors(config, lag=2), 6)[0] for config in (plain, corrected)]
    assert not torch.equal(*stale)
    fresh = [weights_after(with_actors(config), 6)[0] for config in (plain, corrected)]
    assert torch.equal(*fresh)


def test_steps_that_the_policy_would_never_take_push_it_nowhere_though_advantages_are_standardized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Standardized after they were weighted, they would be pushed down by the mean."""
    config = with_actors(replace(A2C, vtrace=True, normalize_advantages=True), lag=2)
    runner = environments(config)
    agent = agent_of(config, runner)
    while not agent.actor.buffer.full:
        agent.actor.observe(runner.play(agent.actor)[0])
    with torch.no_grad():
        agent.actor.network.head.out.bias += torch.tensor([200.0, -200.0])  # never the second action
    never, seen = agent.actor.buffer.action == 1, list[torch.Tensor]()
    loss_of = actor_critic.actor_critic_loss

    def watched(*tensors: torch.Tensor, **settings: float) -> Any:
        seen.append(tensors[3])
        return loss_of(*tensors, **settings)

    monkeypatch.setattr(actor_critic, "actor_critic_loss", watched)
    agent.learn()
    runner.close()
    (advantage,) = seen
    assert 0 < never.sum() < never.numel()
    assert not advantage[never].any() and float(advantage[~never].abs().min()) > 0
    assert float(advantage.mean()) == pytest.approx(0, abs=1e-5)


def test_ppo_learns_from_old_policies_by_their_own_probabilities() -> None:
    config = with_actors(replace(PPO, learning_rate=0.01), lag=2)
    runner = environments(config)
    agent = agent_of(config, runner)
    while not agent.actor.buffer.full:
        agent.actor.observe(runner.play(agent.actor)[0])
    with torch.no_grad():
        agent.actor.network.head.out.bias += torch.tensor([1.0, -1.0])
    batch = agent._prepare_batch()
    assert torch.equal(batch.log_prob_old.sum(), agent.actor.buffer.log_prob.sum())
    runner.close()


def test_more_actors_than_environments_can_be_dealt_to_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"4 actors cannot share 6 environments equally: --rollouts.actors 3"):
        environments(with_actors(replace(A2C, num_envs=6), actors=4))
    assert not isinstance(environments(A2C), ActorRollouts)  # without settings there are no actors
    with pytest.raises(ConfigError, match="lag must be from 0 to 64, not 65"):
        RolloutsConfig(lag=65)


def test_it_is_stepped_by_play_alone() -> None:
    runner = environments(with_actors(A2C))
    with pytest.raises(NotImplementedError, match="use play"):
        runner.recv()
