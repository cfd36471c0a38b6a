"""What an actor of Ray does in its process: chunks as ordered, by the weights that were asked for, errors as text."""

from __future__ import annotations

import pickle
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from policy_gradient_configs import A2C

from agents.rl.on_policy_actor import make_network
from agents.training.metadata import RunSpec
from agents.training.rollout_actor import Actor, Order, Recipe, Start
from agents.training.rollout_chunks import ids_of
from agents.training.rollout_ray_actor import RayWorker, Unpickler, command_here
from agents.training.rollout_weights import NEWEST, bytes_of, flatten, tensors_of
from envs.factory import make_env

BEGIN = Start(0, 0, np.zeros((0, 2), np.int64), None)


def recipe_of(config: Any) -> Recipe:
    env = make_env(config.env)
    network = make_network(config, env.observation_space, env.action_space)
    env.close()
    return Recipe(RunSpec.resolve("actor_critic", config), 0, 0, 2, 6, network, 1, nullcontext, packed=True)


def flat_of(recipe: Recipe) -> np.ndarray:
    flat = np.empty(bytes_of(recipe.network), np.uint8)
    flatten(tensors_of(recipe.network), flat)
    return flat


def test_it_plays_what_its_actor_plays_here() -> None:
    recipe = recipe_of(A2C)
    worker, here = RayWorker(pickle.dumps(recipe), command_here(), 1), Actor(recipe.of_actor(1))
    expected = here.layout.arrays(bytearray(here.layout.size_bytes))
    worker.begin(BEGIN)
    here.begin(BEGIN)
    for serial in range(2):
        order = Order(0, 1, serial, 6, 3)
        chunk = worker.play(order, 3, 40, flat_of(recipe))
        here.play(expected, order, 40, 0.0)
        assert isinstance(chunk, np.ndarray)
        chunk.flags.writeable = False  # as Ray gives it
        found = here.layout.arrays(chunk)
        assert ids_of(found) == ids_of(expected)
        assert all(np.array_equal(found[name], expected[name]) for name in found if name != "seconds")
    worker._actor.runner.close()
    here.runner.close()


@pytest.mark.parametrize(("wanted", "version"), [(4, 40), (NEWEST, 70)])
def test_newer_weights_play_only_where_the_newest_are_ordered(wanted: int, version: int) -> None:
    recipe = recipe_of(A2C)
    worker, old, new = RayWorker(pickle.dumps(recipe), command_here(), 0), flat_of(recipe), flat_of(recipe)
    new[:4] += 1
    worker.begin(BEGIN)
    worker.publish(7, 70, new)
    worker.publish(5, 50, old)  # late
    chunk = worker.play(Order(0, 1, 0, 6, wanted), 4, 40, old)
    assert isinstance(chunk, np.ndarray) and ids_of(worker._actor.layout.arrays(chunk))["version"] == version
    assert np.array_equal(flat_of(replace(recipe, network=worker._actor.player.network)), new if version == 70 else old)
    worker._actor.runner.close()


def test_what_goes_wrong_comes_as_text_in_place_of_the_chunk() -> None:
    worker = RayWorker(b"no recipe", command_here(), 0)
    worker.begin(BEGIN)
    found = worker.play(Order(0, 1, 0, 6, 1), 1, 0, np.zeros(1, np.uint8))
    assert isinstance(found, str) and found.startswith("Traceback") and "UnpicklingError" in found
    broken = replace(A2C, env="breaking_env:Breaks-v0")
    recipe = recipe_of(broken)
    worker = RayWorker(pickle.dumps(recipe), command_here(), 0)
    worker.begin(BEGIN)
    found = worker.play(Order(0, 1, 0, 6, 1), 1, 0, flat_of(recipe))
    assert isinstance(found, str) and found.startswith("environment breaking_env") and found.endswith("the fifth step")


def test_settings_that_a_command_pickled_are_found_where_another_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents import ppo

    monkeypatch.setattr(ppo.Config, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Config", ppo.Config, raising=False)
    pickled = pickle.dumps(ppo.Config)
    monkeypatch.delattr(sys.modules["__main__"], "Config")
    with pytest.raises(AttributeError):
        pickle.loads(pickled)
    assert Unpickler(pickled, "agents.ppo").load() is ppo.Config
