"""Slots from detections: a perfect detector gives the slots of the state; missed objects; refused detectors."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs.config import EnvConfig
from envs.factory import make_env, make_vec
from envs.fingerprint import fingerprint
from envs.ground_truth.objects import Detections, Game, GameStatus, Scene, Slots
from envs.ground_truth.observed_state import DetectedStateReader, IncompatibleDetectorError
from envs.ground_truth.registry import game_of
from envs.ground_truth.state_reader import observation_names, observation_vector, velocities
from envs.ground_truth.wrappers import GroundTruthInfo, ObjectObservation, object_view

PONG = game_of("Pong")


class PerfectDetector:
    """Detects the proven objects of the last frames, which it gets from the environment below."""

    def __init__(self, game: Game, name: str = "perfect") -> None:
        self.categories, self.name = game.categories, name
        self.scenes: list[Scene] = []

    def detect(self, images: np.ndarray) -> list[Detections]:
        assert images.dtype == np.uint8 and images.shape[1:] == (210, 160, 3)
        detections: list[Detections] = []
        for scene in self.scenes[-len(images) :]:
            boxes: dict[str, list[tuple[float, float, float, float]]] = {}
            for thing in scene.objects:
                x, y, w, h = thing.box
                boxes.setdefault(thing.category, []).append((x + 0.3, y - 0.3, w - 0.2, h + 0.2))
            detections.append(boxes)
        return detections


class FeedingGroundTruth(GroundTruthInfo):
    """Gives the detector the objects of each frame."""

    def __init__(self, env: gym.Env[Any, Any], detector: PerfectDetector) -> None:
        super().__init__(env)
        self.detector = detector

    def _with_objects(self, info: dict[str, Any]) -> dict[str, Any]:
        info = super()._with_objects(info)
        self.detector.scenes.append(info["objects"])
        return info


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "fire"), [("ALE/Pong-v5", None), ("ALE/Breakout-v5", 1)])
def test_slots_from_the_proven_objects_are_those_of_the_state(env_id: str, fire: int | None) -> None:
    game = game_of(env_id)
    detector = PerfectDetector(game)
    below = FeedingGroundTruth(gym.make(env_id, frameskip=1), detector)
    env = ObjectObservation(below, frame_skip=4, noop_max=30, detector=detector)
    names = observation_names(game)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    errors, visible = [], 0
    before: Slots = {}
    for step in range(350):
        # Pong's enemy leaves the field at the top, out of sight, and rests at -7.
        ends = detector.scenes[-1::-4][:2]  # of this step and of the one before
        slots = below.reader.slots
        hidden = any(-7 < scene.slots.get("enemy_y", -7) <= 26 for scene in ends)
        if not hidden and all(scene.problem is None for scene in ends):
            true = observation_vector(game, slots | velocities(game, before, slots, 4))
            assert obs.shape == true.shape and obs.dtype == np.float32
            errors.append(np.abs(obs - true))
            visible += bool(below.reader.slots["ball_visible"])
        obs, _, over, cut, _ = env.step(fire if fire is not None and step % 20 == 0 else env.action_space.sample())
        if over or cut:
            obs, _ = env.reset()
            before = {}
        else:
            before = slots
    assert visible > 100 and len(errors) > 200
    error_of = dict(zip(names, np.quantile(np.array(errors), 0.97, axis=0).round(3), strict=True))
    pixel = {name: 2 / (high - low) for name, (low, high) in game.ranges.items()}
    for name, error in error_of.items():
        # Positions to a pixel and a half: a ball is drawn a line higher or longer in part of the field. Velocities to
        # half a pixel per frame.
        assert error <= (1 / 16 if name.endswith("_velocity") else 1.51 * pixel[name]) + 1e-3, (name, error_of)
    assert not any("score" in name for name in error_of)
    for name in ("lives", "bricks", "ball_visible"):
        if name in error_of:
            assert error_of[name] == 0, (name, error_of)


def test_undetected_paddles_stay_in_place_and_an_undetected_ball_is_gone() -> None:
    read = PONG.slots_from_detections
    assert read is not None
    status = GameStatus(2.0, 5.0, np.nan)
    boxes = {"ball": [(80, 100, 2, 4)], "player": [(140, 34, 4, 10)], "enemy": [(16, 188, 4, 6)]}
    slots = read(boxes, status, {})
    assert (slots["ball_x"], slots["ball_y"], slots["ball_visible"]) == (81, 102, 1)
    assert slots["player_y"] == 34 + 10 - 8, "cut off at the top: its lower end counts"
    assert slots["enemy_y"] == 188 + 8, "cut off at the bottom: its upper end counts"
    assert (slots["player_score"], slots["enemy_score"]) == (2, 5)
    nothing: Detections = {"ball": [], "player": [], "enemy": []}
    later = read(nothing, status, slots)
    assert later["ball_visible"] == 0 and np.isnan(later["ball_x"])
    assert (later["player_y"], later["enemy_y"]) == (slots["player_y"], slots["enemy_y"])
    assert read(nothing, status, slots | {"enemy_y": 40.0})["enemy_y"] == 0, "it left at the top"
    at_first = read(nothing, status, {}) | {f"{name}_velocity": np.nan for name in PONG.moving}
    assert np.isfinite(observation_vector(PONG, at_first)).all()


def test_boxes_outside_the_field_are_not_the_games() -> None:
    class Digits(PerfectDetector):
        def detect(self, images: np.ndarray) -> list[Detections]:
            return [{"ball": [(20, 5, 2, 4)], "player": [(140.4, 99.6, 4, 16)]} for _ in images]

    env = gym.make("ALE/Pong-v5", frameskip=1)
    detected = DetectedStateReader(PONG, Digits(PONG), "ALE/Pong-v5")
    env.reset(seed=0)
    detected.reset(env, {})
    slots = detected.slots()
    assert slots["ball_visible"] == 0 and slots["player_y"] == 108
    detected.record_frame(env, -1.0, {})
    assert detected.slots()["player_y"] == 108 and detected.slots()["enemy_score"] == 1


SEEN = EnvConfig(observe="detector:somewhere")


class BlindDetector(PerfectDetector):
    """Detects nothing."""

    def detect(self, images: np.ndarray) -> list[Detections]:
        return [{} for _ in images]


def test_a_detector_s_name_is_in_the_fingerprint_and_its_view_has_the_shape_of_the_true_objects() -> None:
    view = object_view(SEEN, BlindDetector(PONG))
    task = fingerprint("ALE/Pong-v5", SEEN, view, "detector ssd abc")
    assert task.fields["observe"] == "detector ssd abc" and "seen as detector ssd abc" in task.text
    objects = EnvConfig(observe="objects")
    true = fingerprint("ALE/Pong-v5", objects, object_view(objects))
    assert true.fields["observation"] == task.fields["observation"] and true.hash != task.hash
    assert fingerprint("ALE/Pong-v5", SEEN, view, "detector ssd other").hash != task.hash
    vec = make_vec("Pong", 2, SEEN, observe=view)
    obs, _ = vec.reset(seed=1)
    assert obs.shape == (2, len(observation_names(PONG)))
    vec.close()
    single = make_env("Pong", SEEN, observe=view)
    assert single.reset(seed=1)[0].shape == obs.shape[1:]
    single.close()


def test_detectors_of_other_objects_and_games_that_cannot_be_read_from_boxes_are_refused() -> None:
    view = object_view(SEEN, PerfectDetector(PONG))
    with pytest.raises(
        IncompatibleDetectorError, match="trained to find ball, player, enemy; in ALE/Breakout-v5 there are ball"
    ):
        make_vec("Breakout", 1, SEEN, observe=view)
    with pytest.raises(IncompatibleDetectorError, match="cannot be read from boxes"):
        make_vec("Boxing", 1, SEEN, observe=view)
