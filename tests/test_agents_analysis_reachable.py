"""The search of the emulator: places are returned to exactly, and what loses is found."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import numpy as np
import pytest
from packed_agents import pong

from agents.analysis.reachable import ARMS, Place, Searched, search
from agents.rl.interfaces import Policy
from agents.training.environments import make_env, without_fire_reset
from envs.config import EnvConfig
from envs.ground_truth.emulator import ram
from rl_gen_lab.cli.errors import ConfigError


@pytest.fixture
def game() -> Iterator[Searched]:
    made = Searched(pong().env, pong().world, pong().policy, 3)
    yield made
    made.close()


def test_frames_are_stacked_as_the_environment_does(game: Searched) -> None:
    env = make_env(pong().env, without_fire_reset(pong().world))
    obs, _ = env.reset(seed=3)
    for action in (2, 3, 0, 5, 5, 1):
        assert (np.concatenate(game.stack) == np.asarray(obs)).all()
        obs, *_ = env.step(action)
        game.step(action)
    env.close()


def test_a_place_is_returned_to_with_what_the_agent_had_seen(game: Searched) -> None:
    for _ in range(60):
        game.step(2)
    place, memory = game.here(), ram(game.env).copy()
    stack = np.concatenate(game.stack)
    for _ in range(30):
        game.step(3)
    assert (ram(game.env) != memory).any()
    game.back_to(place)
    assert (ram(game.env) == memory).all() and (np.concatenate(game.stack) == stack).all()


def test_the_worst_excursion_is_chosen_and_tested_anew(game: Searched) -> None:
    places = iter(range(1_000))
    stands = {}

    def excursion(self: Searched, start: Place, steps: int, own: bool = False) -> Place:
        place = Place(None, (), np.zeros((1, 1, 3), np.uint8))
        stands[id(place)] = (place, own or next(places) % 8 != 5)  # the sixth of eight always loses
        return place

    def loses(self: Searched, place: Place) -> bool:
        return not stands[id(place)][1]

    with mock.patch.multiple(Searched, excursion=excursion, loses=loses):
        found, shown = search(game, 2)
    assert [found[name] for name in ARMS] == [0.0, 0.0, 1.0] and len(shown) == 2


@pytest.mark.slow
def test_a_real_search_plays_on_from_what_it_finds(game: Searched) -> None:
    with mock.patch.multiple("agents.analysis.reachable", CANDIDATES=2, TRIALS=1, TESTS=1, LONGEST=60):
        found, _ = search(game, 1)
    assert all(0 <= found[f"{name}/low"] <= found[name] <= found[f"{name}/high"] <= 1 for name in ARMS)


def test_games_without_an_emulator_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs an Atari game"):
        Searched("CartPole-v1", EnvConfig(), Policy(lambda obs: np.zeros(len(obs))), 0)
