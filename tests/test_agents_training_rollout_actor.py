"""An actor goes on from what it remembers, and plays into its chunk what it was ordered to."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from policy_gradient_configs import A2C

from agents.rl.on_policy_actor import make_network
from agents.training.config import PolicyConfig
from agents.training.metadata import RunSpec
from agents.training.rollout_actor import Actor, Order, Recipe, Start
from agents.training.rollout_chunks import Arrays, ChunkReader, ids_of
from envs.factory import make_env

CONFIGS = {
    "plain": A2C,
    "held": replace(A2C, env="Pendulum", policy=PolicyConfig("mlp_small", noise_hold_steps=3)),
    "lstm": replace(A2C, lstm_units=8),
}
NOTHING = np.zeros((0, 2), np.int64)


def recipe_of(config: Any) -> Recipe:
    env = make_env(config.env)
    network = make_network(config, env.observation_space, env.action_space)
    env.close()
    spec, hold = RunSpec.resolve("actor_critic", config), config.policy.noise_hold_steps
    return Recipe(spec, 0, 0, 2, 6, network, hold, nullcontext, packed=True)


def chunk_of(actor: Actor, rows: int, serial: int = 0) -> tuple[dict[str, int], Arrays]:
    arrays = actor.layout.arrays(bytearray(actor.layout.size_bytes))
    actor.play(arrays, Order(0, 4, serial, rows, 1), version=30, waited=0.5)
    chunk = ChunkReader(actor.layout).read(arrays)
    assert chunk.pop("seconds")[0] == 0.5
    return ids_of(arrays), chunk


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("rows", [1, 4])
def test_an_actor_that_begins_where_another_was_plays_the_same(name: str, rows: int) -> None:
    first = Actor(recipe_of(CONFIGS[name]))
    first.begin(Start(2, 0, NOTHING, None))
    played = chunk_of(first, rows)[1]
    expected = chunk_of(first, 5)[1]
    other = Actor(replace(first._recipe))
    other.begin(Start(2, rows, played["action"], played["mind"][-1]))
    found = chunk_of(other, 5)[1]
    assert all(np.array_equal(found[field], expected[field]) for field in expected)
    other.begin(Start(2, rows, played["action"], None))  # without its memory it draws its first numbers again
    again = chunk_of(other, 5)[1]
    assert not np.array_equal(again["mind"], expected["mind"])
    for actor in (first, other):
        actor.runner.close()


def test_a_chunk_says_what_it_is_and_holds_what_was_played() -> None:
    recipe = recipe_of(A2C)
    actor = Actor(recipe.of_actor(1))
    actor.begin(Start(0, 0, NOTHING, None))
    returns = np.zeros(2)
    for serial in range(12):
        ids, chunk = chunk_of(actor, 6, serial)
        assert (ids["actor"], ids["epoch"], ids["serial"], ids["rows"], ids["version"]) == (1, 4, serial, 6, 30)
        assert chunk["obs"].shape == (7, 2, 4) and chunk["log_prob"].max() < 0
        for t in range(6):  # CartPole gives 1 at each step, and an episode ends with what it gave
            returns += ~chunk["dummy"][t]
            over = chunk["terminated"][t] | chunk["truncated"][t]
            assert np.array_equal(chunk["episode_length"][t], np.where(over, returns, 0))
            assert np.array_equal(chunk["episode_return"][t], np.where(over, returns, 0))
            returns[over] = 0
    assert recipe.of_actor(1).stream == recipe.stream + 1 and recipe.of_actor(1).network is recipe.network
    actor.runner.close()
