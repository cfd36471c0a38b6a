"""Transitions: what the emulator executed, replayed frame by frame; sticky actions by its own law; exact folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from scene_folders import files, pong_folder
from transition_folders import pong_transitions

from envs import scenes
from envs.config import EnvConfig
from envs.dataset import transitions
from envs.ground_truth.emulator import ale_interface, rgb_image


def episode(path: Path, number: int) -> dict[str, np.ndarray]:
    with np.load(transitions.transitions_file(path, number)) as content:
        return dict(content)


@pytest.mark.parametrize("sticky", [0.0, 0.6])
def test_the_executed_actions_lead_the_emulator_through_the_same_frames(sticky: float, tmp_path: Path) -> None:
    config = scenes.Config("Pong", frames=10, transitions=True, world=EnvConfig(sticky=sticky))
    with scenes._open_env(config, None) as (env, _, recorder):
        assert recorder is not None
        env.reset(seed=3)
        env.action_space.seed(3)
        recorder.begin()
        recorder.show()
        ale = ale_interface(env)
        state = ale.cloneState(include_rng=True)
        for _ in range(60):
            action = env.action_space.sample()
            _, reward, terminated, truncated, _ = env.step(action)
            recorder.step(action, cast(float, reward), terminated, truncated)
        recorder.write(tmp_path / "a.npz")
        with np.load(tmp_path / "a.npz") as content:
            record = dict(content)
        ale.restoreState(state)
        meanings = cast(Any, env.unwrapped)._action_set
        rgb, total = record["colors"][record["frames"]], 0.0
        for step, frames in enumerate(record["executed"]):
            total += sum(ale.act(meanings[action]) for action in frames)
            assert np.array_equal(rgb_image(env), rgb[step + 1]), step
        assert total == record["rewards"].sum()
    repeated = (record["executed"] != record["actions"][:, None]).mean()
    assert (repeated == 0) == (sticky == 0)


def test_actions_are_repeated_as_often_as_the_emulator_would() -> None:
    class Counting(gym.Env[Any, Any]):
        observation_space, action_space = gym.spaces.Discrete(1), gym.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            return 0, {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return 0, 0.0, False, False, {}

    env = transitions.ExecutedActions(Counting(), 0.25)
    env.reset(seed=0)
    for frame in range(20_000):
        env.step(frame // 4 % 2)  # each asked for during four frames
    executed, wanted = np.array(env.executed).reshape(-1, 4), np.arange(5_000)[:, None] % 2
    # the one before goes on for n frames with probability 0.25 ** n
    assert (executed != wanted).mean(0) == pytest.approx([0.25, 0.25**2, 0.25**3, 0.25**4], abs=0.02)
    env.reset(seed=0)
    assert env.executed == [] and env.previous == 0


def test_every_step_of_every_episode_is_there_with_the_labeled_images() -> None:
    path = pong_transitions()
    labeled = 0
    for number in range(10):
        record = episode(path, number)
        steps = len(record["actions"])
        assert record["frames"].shape == (steps + 1, 210, 160) and record["executed"].shape == (steps, 4)
        assert steps >= 5 and not record["terminated"].any()
        for place in np.flatnonzero(record["images"] >= 0):
            image = np.asarray(Image.open(path / "images" / f"{record['images'][place]:06d}.png"))
            assert np.array_equal(record["colors"][record["frames"][place]], image) and place % 5 == 0
            labeled += 1
    assert 10 <= labeled < 24  # the others are interventions, which belong to no episode
    names = list(episode(path, 0)["slot_names"])
    assert "ball_x" in names and episode(path, 0)["slots"].shape[1] == len(names)


@pytest.mark.slow
def test_a_stopped_command_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    config = scenes.Config("Pong", frames=24, seed=5, out=tmp_path / "data", every=5, transitions=True)

    def stop(done: int) -> None:
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scenes.write(config, on_frame=stop)
    assert files(scenes.write(config)) == files(pong_transitions())
    transitions.transitions_file(tmp_path / "data", 3).unlink()
    with pytest.raises(ValueError, match="other settings"):
        scenes.write(scenes.Config("Pong", frames=24, seed=6, out=tmp_path / "data", every=5, transitions=True))


def test_folders_without_transitions_are_as_before() -> None:
    assert not (pong_folder() / transitions.FOLDER).exists()
    assert "transitions" not in (pong_folder() / "dataset.json").read_text()


def test_games_of_many_colors_or_other_actions_are_refused(tmp_path: Path) -> None:
    recorder = transitions.Recorder.__new__(transitions.Recorder)
    recorder.numbers = {}
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    with pytest.raises(transitions.TooManyColorsError, match="leave out --transitions"):
        recorder._numbered(noise)
    with pytest.raises(ValueError, match="one finite set of actions"):
        transitions.ExecutedActions(gym.make("Pendulum-v1"), 0.0)
