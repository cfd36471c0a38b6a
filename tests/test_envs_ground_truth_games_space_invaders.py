"""Ground truth of Space Invaders against rewards and pixels."""

from __future__ import annotations

from collections import Counter

import gymnasium as gym
import numpy as np
import pytest
from ground_truth_play import play

from envs.ground_truth.verify import prove
from envs.ground_truth.wrappers import GroundTruthInfo


def test_space_invaders_score_is_the_sum_of_rewards() -> None:
    env = GroundTruthInfo(gym.make("ALE/SpaceInvaders-v5", frameskip=1), prove=False)
    env.reset(seed=4)
    env.action_space.seed(4)
    total = 0.0
    for _ in range(1_500):
        _, reward, terminated, _, _ = env.step(env.action_space.sample())
        total += float(reward)
        assert env.reader.slots["score"] == total
        if terminated:
            break
    assert total > 50
    env.close()


def test_space_invaders_shots_are_where_they_are_seen() -> None:
    matched: Counter[str] = Counter()
    for _, scene in play("ALE/SpaceInvaders-v5", 800, seed=3):
        slots = scene.slots
        flying = [(slots[f"{name}_x"], slots[f"{name}_y"]) for name in ("missile", "bomb_0", "bomb_1")]
        for thing in scene.objects if scene.problem is None else ():
            x, y, _, h = thing.box
            places = {"missile": flying[:1], "bomb": flying[1:]}.get(thing.category, [])
            near = [place for place in places if place[0] == x and abs(y + h / 2 - place[1]) <= 8]
            # One that hit something is drawn once more, when it is in flight no longer.
            matched[thing.category] += bool(near)
            matched[f"{thing.category} ended"] += bool(places) and not near
    assert matched["missile"] > 100 and matched["bomb"] > 100
    assert matched["missile ended"] < 0.1 * matched["missile"] and matched["bomb ended"] < 0.1 * matched["bomb"]


def test_a_mother_ship_is_seen_when_it_flies_and_missed_when_it_is_erased() -> None:
    env = GroundTruthInfo(gym.make("ALE/SpaceInvaders-v5", frameskip=1), prove=False)
    env.reset(seed=0)
    game, rng, action, flown = env.reader.game, np.random.default_rng(0), 0, 0
    for i in range(4_000):
        if rng.random() < 0.15:
            action = int(rng.integers(6))
        _, _, terminated, _, _ = env.step(action)
        if terminated:
            env.reset()
        if i % 9 or not env.reader.slots["ship_visible"]:
            continue
        screen, state = game.screen(env).copy(), game.state(env)
        scene = env.reader.scene(env)
        violet = np.argwhere(screen == 82)
        assert len(violet) and scene.slots["ship_x"] == pytest.approx(violet[:, 1].mean(), abs=4)
        if scene.problem is None:
            flown += 1
            assert scene.visible["mother ship"] == 1 and not scene.visible["score"]
            screen[screen == 82] = 0
            assert "mother ship" in str(prove(game, state, screen)[1])
        if flown == 20:
            break
    assert flown == 20
    env.close()


def test_a_blinking_cannon_is_described_as_out_of_sight() -> None:
    combinations: Counter[tuple[bool, bool]] = Counter()
    for env, scene in play("ALE/SpaceInvaders-v5", 200, seed=1):
        facts = env.reader.game.facts(scene.slots, scene.event, scene.visible)
        green = bool((env.reader.game.screen(env)[185:195] == 196).any())
        assert scene.slots["cannon_visible"] == green
        combinations[green, facts["cannon"] == "out of sight"] += 1
    assert set(combinations) == {(True, False), (False, True)} and min(combinations.values()) > 30
