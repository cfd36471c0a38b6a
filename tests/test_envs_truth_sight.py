"""Slots from boxes: eyes that see the proven objects give the slots of the state; what eyes miss; what is refused."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs.config import EnvConfig
from envs.factory import make_env, make_vec
from envs.fingerprint import fingerprint
from envs.ground_truth.objects import Game, Scene, Seen, Slots, Told
from envs.ground_truth.observed_state import BlindError, Sight
from envs.ground_truth.registry import game_of
from envs.ground_truth.state_reader import FASTEST, vector, vector_names, velocities
from envs.ground_truth.wrappers import ObjectObservation, WithTruth, object_view

PONG = game_of("Pong")


class Perfect:
    """Eyes that are told the proven objects of the last frames by a world below, in any order."""

    def __init__(self, game: Game, name: str = "perfect") -> None:
        self.categories, self.name = game.categories, name
        self.scenes: list[Scene] = []
        self.blind = False

    def look(self, pictures: np.ndarray) -> list[Seen]:
        assert pictures.dtype == np.uint8 and pictures.shape[1:] == (210, 160, 3)
        seen = []
        for scene in self.scenes[-len(pictures) :]:
            found: dict[str, list[tuple[float, float, float, float]]] = {}
            for thing in scene.objects:
                x, y, w, h = thing.box
                found.setdefault(thing.category, []).append((x + 0.3, y - 0.3, w - 0.2, h + 0.2))
            seen.append({} if self.blind else found)
        return seen


class Telling(WithTruth):
    """Tells the eyes what each frame shows."""

    def __init__(self, env: gym.Env[Any, Any], eyes: Perfect) -> None:
        super().__init__(env)
        self.eyes = eyes

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        info = super()._told(info)
        self.eyes.scenes.append(info["objects"])
        return info


@pytest.mark.parametrize(("env_id", "fire"), [("ALE/Pong-v5", None), ("ALE/Breakout-v5", 1)])
def test_what_is_seen_in_the_proven_objects_is_what_the_state_says(env_id: str, fire: int | None) -> None:
    game = game_of(env_id)
    eyes = Perfect(game)
    below = Telling(gym.make(env_id, frameskip=1), eyes)
    env = ObjectObservation(below, frame_skip=4, noop_max=30, eyes=eyes)
    names = vector_names(game)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    errors, shown = [], 0
    before: Slots = {}
    for step in range(350):
        # Pong's enemy leaves the field at the top, where nobody sees it, and rests at -7.
        ends = eyes.scenes[-1::-4][:2]  # of this step and of the one before
        slots = below.tracker.slots
        hidden = any(-7 < scene.slots.get("enemy_y", -7) <= 26 for scene in ends)
        if not hidden and all(scene.problem is None for scene in ends):
            true = vector(game, slots | velocities(game, before, slots, 4))
            assert obs.shape == true.shape and obs.dtype == np.float32
            errors.append(np.abs(obs - true))
            shown += bool(below.tracker.slots["ball_visible"])
        obs, _, over, cut, _ = env.step(fire if fire is not None and step % 20 == 0 else env.action_space.sample())
        if over or cut:
            obs, _ = env.reset()
            before = {}
        else:
            before = slots
    assert shown > 100 and len(errors) > 200
    each = dict(zip(names, np.quantile(np.array(errors), 0.97, axis=0).round(3), strict=True))
    pixel = {name: 2 / (high - low) for name, (low, high) in game.ranges.items()}
    for name, error in each.items():
        # Positions to a pixel and a half: a ball is drawn a line higher or longer in part of the field. Velocities to
        # half a pixel per frame.
        assert error <= (1 / 16 if name.endswith("_velocity") else 1.51 * pixel[name]) + 1e-3, (name, each)
    assert not any("score" in name for name in each)
    for name in ("lives", "bricks", "ball_visible"):
        if name in each:
            assert each[name] == 0, (name, each)


def test_what_is_not_found_is_as_it_was_or_gone() -> None:
    assert PONG.seen is not None
    told = Told(2.0, 5.0, np.nan)
    boxes = {"ball": [(80, 100, 2, 4)], "player": [(140, 34, 4, 10)], "enemy": [(16, 188, 4, 6)]}
    slots = PONG.seen(boxes, told, {})
    assert (slots["ball_x"], slots["ball_y"], slots["ball_visible"]) == (81, 102, 1)
    assert slots["player_y"] == 34 + 10 - 8, "cut off at the top: its lower end counts"
    assert slots["enemy_y"] == 188 + 8, "cut off at the bottom: its upper end counts"
    assert (slots["player_score"], slots["enemy_score"]) == (2, 5)
    nothing: Seen = {"ball": [], "player": [], "enemy": []}
    later = PONG.seen(nothing, told, slots)
    assert later["ball_visible"] == 0 and np.isnan(later["ball_x"])
    assert (later["player_y"], later["enemy_y"]) == (slots["player_y"], slots["enemy_y"])
    assert PONG.seen(nothing, told, slots | {"enemy_y": 40.0})["enemy_y"] == 0, "it went out at the top"
    assert np.isfinite(
        vector(PONG, PONG.seen(nothing, told, {}) | {f"{n}_velocity": np.nan for n in PONG.moving})
    ).all()


def test_boxes_outside_the_field_are_not_the_games() -> None:
    class Digits(Perfect):
        def look(self, pictures: np.ndarray) -> list[Seen]:
            return [{"ball": [(20, 5, 2, 4)], "player": [(140.4, 99.6, 4, 16)]} for _ in pictures]

    env = gym.make("ALE/Pong-v5", frameskip=1)
    sight = Sight(PONG, Digits(PONG), "ALE/Pong-v5")
    env.reset(seed=0)
    sight.reset(env, {})
    slots = sight.slots()
    assert slots["ball_visible"] == 0 and slots["player_y"] == 108
    sight.frame(env, -1.0, {})
    assert sight.slots()["player_y"] == 108 and sight.slots()["enemy_score"] == 1


SEEN = EnvConfig(observe="detector:somewhere")


class Dark(Perfect):
    """Finds nothing."""

    def look(self, pictures: np.ndarray) -> list[Seen]:
        return [{} for _ in pictures]


def test_a_detector_s_name_is_in_the_fingerprint_and_its_view_has_the_shape_of_the_true_objects() -> None:
    view = object_view(SEEN, Dark(PONG))
    task = fingerprint("ALE/Pong-v5", SEEN, view, "detector ssd abc")
    assert task.fields["observe"] == "detector ssd abc" and "seen as detector ssd abc" in task.text
    objects = EnvConfig(observe="objects")
    true = fingerprint("ALE/Pong-v5", objects, object_view(objects))
    assert true.fields["observation"] == task.fields["observation"] and true.hash != task.hash
    assert fingerprint("ALE/Pong-v5", SEEN, view, "detector ssd other").hash != task.hash
    vec = make_vec("Pong", 2, SEEN, observe=view)
    obs, _ = vec.reset(seed=1)
    assert obs.shape == (2, len(vector_names(PONG)))
    vec.close()
    single = make_env("Pong", SEEN, observe=view)
    assert single.reset(seed=1)[0].shape == obs.shape[1:]
    single.close()


def test_observations_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="pixels, objects, detector:RUN, segment:RUN, not 'detector'"):
        EnvConfig(observe="detector")
    with pytest.raises(ValueError, match="not 'ears:runs'"):
        EnvConfig(observe="ears:runs")


def test_detectors_of_other_objects_or_for_games_that_boxes_cannot_tell_are_refused() -> None:
    view = object_view(SEEN, Perfect(PONG))
    with pytest.raises(BlindError, match="trained to find ball, player, enemy; in ALE/Breakout-v5 there are ball"):
        make_vec("Breakout", 1, SEEN, observe=view)
    with pytest.raises(BlindError, match="cannot be read from boxes"):
        make_vec("Boxing", 1, SEEN, observe=view)


def test_a_paddle_that_moves_every_second_frame_has_its_speed_in_every_observation() -> None:
    env = ObjectObservation(gym.make("ALE/Pong-v5", frameskip=1, repeat_action_probability=0.0), frame_skip=4)
    y, velocity = (env.names.index(name) for name in ("player_y", "player_y_velocity"))
    height = np.diff(PONG.ranges["player_y"])[0] / 2
    for parity in range(2):  # whether the last frame of a step is one in which paddles move
        obs, _ = env.reset(seed=parity)
        for _ in range(parity):
            env.env.step(0)
        assert obs[velocity] == 0
        speeds = []
        for step in range(24):
            before = obs[y]
            obs, *_ = env.step(2 if step % 12 < 6 else 3)
            assert obs[velocity] == pytest.approx((obs[y] - before) * height / 4 / FASTEST, abs=1e-5)
            speeds.append(obs[velocity])
        assert np.count_nonzero(speeds) > 12
