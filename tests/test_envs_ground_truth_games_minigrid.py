"""Truth of MiniGrid, where the optional extra is installed: every tile is what the grid says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs import scenes
from envs.factory import make_vec
from envs.ground_truth.objects import Scene
from envs.ground_truth.registry import game_of
from envs.ground_truth.verify import prove
from envs.ground_truth.wrappers import GroundTruthInfo

pytest.importorskip("minigrid", reason="an optional extra: pip install -e '.[minigrid]'")
IDS = ("DoorKey-8x8-v0", "LavaCrossingS9N2-v0", "Fetch-8x8-N3-v0", "ObstructedMaze-1Dlhb-v0")


def play(env_id: str, steps: int, seed: int = 0) -> Iterator[tuple[Any, Scene]]:
    env = GroundTruthInfo(gym.make(env_id, render_mode="rgb_array"))
    _, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(steps):
        yield env, info["objects"]
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        if terminated or truncated:
            _, info = env.reset()
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_grid_and_pixels_prove_each_other(name: str) -> None:
    game = game_of(f"minigrid:MiniGrid-{name}")
    for env, scene in play(f"minigrid:MiniGrid-{name}", 60):
        assert scene.problem is None
        screen, owner = game.screen(env), np.zeros(game.screen(env).shape, int)
        drawn = game.background(game.state(env)).copy()
        for thing in scene.objects:
            x, y, w, h = thing.box
            drawn[y : y + h, x : x + w][thing.mask] = screen[y : y + h, x : x + w][thing.mask]
            owner[y : y + h, x : x + w] += thing.mask
        assert owner.max() == 1
        np.testing.assert_array_equal(drawn, screen)


def test_boxes_are_where_the_grid_has_things() -> None:
    categories = set()
    for env, scene in play("minigrid:MiniGrid-DoorKey-8x8-v0", 40, seed=1):
        grid = env.unwrapped.grid
        there = {(c.type, i, j) for i in range(8) for j in range(8) if (c := grid.get(i, j)) and c.type != "wall"}
        there.add(("agent", *map(int, env.unwrapped.agent_pos)))
        assert {(t.category, t.box[0] // 32, t.box[1] // 32) for t in scene.objects} == there
        categories |= {t.category for t in scene.objects}
    assert categories == {"agent", "door", "key", "goal"}


def test_a_speck_a_missing_key_and_a_door_in_another_state_are_noticed() -> None:
    env, scene = next(play("minigrid:MiniGrid-DoorKey-8x8-v0", 1))
    game = game_of("minigrid:MiniGrid-DoorKey-8x8-v0")
    state, screen = game.state(env), game.screen(env)
    dirty = screen.copy()
    dirty[5, 5] += 1
    assert "1 pixels unexplained" in str(prove(game, state, dirty)[1])
    for category, message in (("key", "key fills 0 of"), ("door", "door fills 0 of")):
        x, y, w, h = next(t.box for t in scene.objects if t.category == category)
        gone = screen.copy()
        gone[y : y + h, x : x + w] = game.background(state)[y : y + h, x : x + w]
        assert message in str(prove(game, state, gone)[1])
    lie = state.copy()
    door = tuple(np.argwhere(state[:-1, :, 0] == 4)[0])
    lie[(*door, 2)] = 0
    assert prove(game, lie, screen)[1] is not None


def test_a_carried_object_is_a_slot_an_event_and_a_fact() -> None:
    env = GroundTruthInfo(gym.make("minigrid:MiniGrid-DoorKey-5x5-v0", render_mode="rgb_array"))
    env.reset(seed=0)
    grid_env: Any = env.unwrapped
    key = next(
        grid_env.grid.get(i, j)
        for i in range(5)
        for j in range(5)
        if getattr(grid_env.grid.get(i, j), "type", "") == "key"
    )
    grid_env.carrying = key
    _, _, _, _, info = env.step(6)  # done: nothing moves
    scene = info["objects"]
    assert scene.event == "something taken" and scene.slots["carries"] == 5
    assert game_of(grid_env.spec.id).facts(scene.slots, scene.event, scene.visible)["carries"] == "a yellow key"


def test_another_view_is_refused() -> None:
    env = GroundTruthInfo(gym.make("minigrid:MiniGrid-Empty-5x5-v0", render_mode="rgb_array", agent_pov=True))
    with pytest.raises(ValueError, match="agent_pov=False"):
        env.reset(seed=0)


def test_a_dataset_of_an_environment_of_a_family_and_its_numbers_for_agents(tmp_path: Path) -> None:
    config = scenes.Config("minigrid:MiniGrid-DoorKey-5x5-v0", frames=20, out=tmp_path / "data", every=3)
    path = scenes.write(config)
    caption = json.loads((path / "annotations" / "captions_train.json").read_text())["annotations"][0]["caption"]
    assert caption.startswith("the agent is") and "the doors are" in caption
    vec = make_vec("minigrid:MiniGrid-DoorKey-5x5-v0", 2)
    obs, _ = vec.reset(seed=0)
    assert obs.shape == (2, 7 * 7 * 3 + 4), "the view and the direction, without the mission"
    vec.close()
