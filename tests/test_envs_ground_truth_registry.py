"""Lookup of ground truth by the id of an environment."""

from __future__ import annotations

import pytest
from ground_truth_play import IDS, game_name

from envs.config import EnvConfig
from envs.factory import make_vec
from envs.ground_truth.registry import FAMILIES, NoGroundTruthError, game_of, supported
from envs.ground_truth.wrappers import object_view


def test_every_file_of_games_reads_an_environment() -> None:
    assert {game_name(env_id) for env_id in IDS} == set(supported()) - set(FAMILIES.values())


def test_an_environment_without_ground_truth_is_named_with_those_that_have_it() -> None:
    with pytest.raises(NoGroundTruthError, match=r"no ground truth for ALE/Qbert-v5: known are .*breakout.*pong"):
        game_of("Qbert")
    with pytest.raises(NoGroundTruthError):
        config = EnvConfig(observe="objects")
        make_vec("Qbert", 1, config, observe=object_view(config))


def test_older_ids_of_a_game_have_the_same_ground_truth() -> None:
    assert game_of("PongNoFrameskip-v4") is game_of("Pong")
