"""Whole games of which the agent sees a part, and games in which the enemy is held or erased."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from packed_agents import pong, pong_gap

from agents.analysis.game_scores import Player, StillEnemy, difference, partly_seen, prediction, witnessed_games
from agents.analysis.witness import Witness
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError


def player(frames: int = 400) -> Player:
    return Player(pong().env, replace(pong().world, max_episode_frames=frames), pong().policy, 0.0, 2, 0)


def test_deleted_pixels_show_the_fill_and_kept_ones_the_frame() -> None:
    model = pong_gap()
    obs = np.full((1, 4, 84, 84), 200, np.uint8)

    def maps(frames: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.arange(84.0 * 84).view(1, 1, 84, 84)

    deleted = partly_seen(model, maps, 0.5, "mean", keep=False)(obs, np.zeros(1, np.int64))
    kept = partly_seen(model, maps, 0.5, "mean", keep=True)(obs, np.zeros(1, np.int64))
    empty = model.baseline.round().byte().numpy()
    assert (deleted[0, :, 42:] == empty[:, 42:]).all() and (deleted[0, :, :42] == 200).all()
    assert (kept[0, :, :42] == empty[:, :42]).all() and (kept[0, :, 42:] == 200).all()


@pytest.mark.slow
def test_games_are_played_to_their_end_with_and_without_a_change() -> None:
    one = player()
    plain, same = one.score(), one.score(lambda obs, actions: obs)
    assert len(plain) == 2 and np.array_equal(plain, same)
    blind = one.score(lambda obs, actions: np.zeros_like(obs))
    assert len(blind) == 2


def test_frames_of_an_agent_with_a_memory_are_not_changed() -> None:
    one = player()
    remembers = replace(one, policy=replace(one.policy, begin=lambda first: None))
    with pytest.raises(ConfigError, match="has a memory"):
        remembers.score(lambda obs, actions: obs)


@pytest.mark.slow
def test_an_erased_enemy_is_not_seen_and_the_games_are_scored() -> None:
    seen: list[np.ndarray] = []
    watched = replace(pong().policy, values=None)

    def values(obs: np.ndarray) -> np.ndarray:
        seen.append(obs[0])
        own = pong().policy.values
        assert own is not None
        return own(obs)

    scores = witnessed_games(replace(player(), policy=replace(watched, values=values)), pong_gap(), "enemy", None)
    assert len(scores) == 2
    column = np.stack(seen[10:])[:, :, 18:74, 9]  # where the left paddle is
    assert (np.abs(column.astype(int) - 87) > 3).mean() < 0.01


def test_a_held_enemy_stands_while_the_ball_flies_away() -> None:
    """Left to itself it follows the ball."""

    def spread(forcing: StillEnemy | None) -> float:
        witness = Witness("ALE/Pong-v5", EnvConfig(), forcing)
        witness.reset(0)
        heights, draws = list[float](), np.random.default_rng(0)
        for _ in range(200):
            _, _, over = witness.step(int(draws.integers(6)))
            slots: dict[str, Any] = witness.recorder.reader.slots
            if slots["ball_x_velocity"] > 0:
                heights.append(slots["enemy_y"])
            if over:
                break
        witness.close()
        return float(np.abs(np.diff(heights)).mean())

    assert spread(StillEnemy()) < 0.5 * spread(None)


def test_a_difference_of_scores_has_an_interval() -> None:
    value, low, high = difference(np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0]))
    assert value == 10.0 and 8.0 <= low < 10.0 < high <= 12.0


def test_a_prediction_is_made_from_lifts_alone() -> None:
    assert prediction({"enemy": 50.0, "ball": 90.0}) == "falls"
    assert prediction({"enemy": 40.0, "ball": 90.0}) == "holds"
    assert prediction({"ball": 1.0}) == "holds"
