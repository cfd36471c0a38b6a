"""The fingerprint: equal for equal tasks, different for each thing that makes two scores incomparable."""

from dataclasses import fields, replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from envs.config import EnvConfig
from envs.fingerprint import Fingerprint, fingerprint
from envs.ground_truth.wrappers import object_view
from envs.names import resolve

PONG = "ALE/Pong-v5"
CHANGES: dict[str, Any] = {
    "observe": "objects",
    "sticky": 0.1,
    "frame_skip": 3,
    "max_pool": False,
    "image_size": 42,
    "grayscale": False,
    "frame_stack": 3,
    "noop_max": 0,
    "full_action_space": True,
    "fire_reset": True,
    "max_episode_frames": 27_000,
}
LEARNER_ONLY: dict[str, Any] = {"episodic_life": True, "episodic_points": True, "clip_rewards": False}


@pytest.fixture(scope="module")
def usual() -> Fingerprint:
    return fingerprint(PONG, EnvConfig())


def test_every_setting_of_an_environment_is_either_in_the_fingerprint_or_known_to_be_the_learners_own() -> None:
    assert {field.name for field in fields(EnvConfig)} == CHANGES.keys() | LEARNER_ONLY.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_each_field_of_the_task_changes_the_fingerprint(name: str, usual: Fingerprint) -> None:
    config = replace(EnvConfig(), **{name: CHANGES[name]})
    view = None if config.observe == "pixels" else object_view(config)
    assert fingerprint(PONG, config, view).hash != usual.hash


@pytest.mark.parametrize("name", LEARNER_ONLY)
def test_what_only_the_learner_sees_changes_nothing(name: str, usual: Fingerprint) -> None:
    assert fingerprint(PONG, replace(EnvConfig(), **{name: LEARNER_ONLY[name]})) == usual


def test_a_setting_left_to_the_id_equals_the_same_setting_given(usual: Fingerprint) -> None:
    assert usual == fingerprint(PONG, EnvConfig(sticky=0.25, fire_reset=False))
    old = fingerprint("PongNoFrameskip-v4", EnvConfig())
    assert (old.fields["sticky"], old.fields["fire_reset"]) == (0.0, True)


OBJECTS = EnvConfig(observe="objects")
# Text and hash, as of runs recorded long ago.
RECORDED: list[tuple[str, EnvConfig, dict[str, float], str, str]] = [
    (PONG, EnvConfig(), {}, "ALE/Pong-v5 sticky 0.25 skip 4 grey 84px stack 4 noop 30 Discrete(6)", "f27ab7e7e417"),
    (
        PONG,
        EnvConfig(),
        {"epsilon": 0.001},
        "ALE/Pong-v5 sticky 0.25 skip 4 grey 84px stack 4 noop 30 Discrete(6), epsilon 0.001",
        "c885d33e624e",
    ),
    (
        PONG,
        OBJECTS,
        {},
        "ALE/Pong-v5 sticky 0.25 skip 4 grey 84px stack 4 noop 30 Discrete(6) seen as objects",
        "725f6c3e8f05",
    ),
    (
        "PongNoFrameskip-v4",
        EnvConfig(),
        {},
        "PongNoFrameskip-v4 sticky 0.0 skip 4 grey 84px stack 4 noop 30 Discrete(6)",
        "9895f5819262",
    ),
    ("CartPole-v1", EnvConfig(), {}, "CartPole-v1 (4,) Discrete(2)", "ffdc1776af1f"),
    (
        "envs.partial:CartPoleNoVelocity-v1",
        EnvConfig(),
        {},
        "envs.partial:CartPoleNoVelocity-v1 (2,) Discrete(2)",
        "f47ac1e96dac",
    ),
    (
        "envs.known_answers:KnownAnswers/Truncation-v0",
        EnvConfig(),
        {},
        "envs.known_answers:KnownAnswers/Truncation-v0 (3,) Discrete(2)",
        "bf7054fb7694",
    ),
    (
        "envs.known_controls:KnownControls/Aim-v0",
        EnvConfig(),
        {},
        "envs.known_controls:KnownControls/Aim-v0 (2,) Box(-2.0, 1.0, (1,), float32)",
        "7e54f95314ed",
    ),
]


@pytest.mark.parametrize(("env_id", "config", "protocol", "text", "digest"), RECORDED, ids=[r[4] for r in RECORDED])
def test_runs_recorded_before_keep_their_fingerprint(
    env_id: str,
    config: EnvConfig,
    protocol: dict[str, Any],
    text: str,
    digest: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded_with = {"gymnasium": "1.4", "ale-py": "0.12"}  # part of a task: a later version has other hashes
    monkeypatch.setattr("envs.fingerprint._minor", recorded_with.__getitem__)
    view = None if config.observe == "pixels" else object_view(config)
    task = fingerprint(resolve(env_id), config, view, **protocol)
    assert (task.text, task.hash) == (text, digest)


def test_the_evaluations_rules_are_part_of_it() -> None:
    plain = fingerprint("CartPole-v1", EnvConfig())
    exploring = fingerprint("CartPole-v1", EnvConfig(), epsilon=0.05)
    assert len({plain.hash, exploring.hash, fingerprint("CartPole-v1", EnvConfig(), epsilon=0.01).hash}) == 3
    assert exploring.text == plain.text + ", epsilon 0.05"
    assert exploring.hash == fingerprint("CartPole-v1", EnvConfig(), epsilon=0.05).hash


def test_the_text_says_the_task_in_one_line(usual: Fingerprint) -> None:
    assert usual.text == "ALE/Pong-v5 sticky 0.25 skip 4 grey 84px stack 4 noop 30 Discrete(6)"
    assert fingerprint("CartPole-v1", EnvConfig()).text == "CartPole-v1 (4,) Discrete(2)"


def test_a_hash_is_twelve_hexadecimal_digits_that_no_order_changes() -> None:
    one = fingerprint("CartPole-v1", EnvConfig(), episodes=100, epsilon=0.0)
    other = fingerprint("CartPole-v1", EnvConfig(), epsilon=0.0, episodes=100)
    assert one.hash == other.hash
    assert len(one.hash) == 12
    int(one.hash, 16)


def test_environments_without_pixels_ignore_the_settings_of_pixels() -> None:
    pixels = EnvConfig(image_size=42, frame_stack=2, grayscale=False, sticky=0.5, frame_skip=2)
    assert fingerprint("CartPole-v1", pixels) == fingerprint("CartPole-v1", EnvConfig())
    assert fingerprint("FrozenLake-v1", EnvConfig()).hash != fingerprint("CliffWalking-v1", EnvConfig()).hash


class Picture(gym.Env[Any, Any]):
    observation_space = spaces.Box(0, 255, (40, 50, 3), np.uint8)
    action_space = spaces.Discrete(2)


def test_three_gray_frames_are_not_one_frame_in_color() -> None:
    # Both observations are (3, 84, 84) uint8.
    gym.register("test/Picture-v0", entry_point=f"{__name__}:Picture")
    try:
        gray = fingerprint("test/Picture-v0", EnvConfig(grayscale=True, frame_stack=3))
        rgb = fingerprint("test/Picture-v0", EnvConfig(grayscale=False, frame_stack=1))
        small = fingerprint("test/Picture-v0", EnvConfig(grayscale=False, frame_stack=1, image_size=42))
    finally:
        gym.registry.pop("test/Picture-v0")
    assert len({gray.hash, rgb.hash, small.hash}) == 3


def test_the_limit_of_an_episode_is_part_of_the_task_where_it_is_ours() -> None:
    for name, ours in (("CliffWalking-v1", True), (PONG, True), ("CartPole-v1", False)):
        usual, short = (fingerprint(name, config) for config in (EnvConfig(), EnvConfig(max_episode_frames=400)))
        assert (usual.hash != short.hash) == ours == ("cap 400" in short.text)
        assert "cap" not in usual.text
