"""Ground truth of LunarLander: a lander out of sight, and images that do not depend on how often they are taken."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from ground_truth_play import play

from envs.ground_truth.captions import captions
from envs.ground_truth.wrappers import GroundTruthInfo

# Box2D's C module gives Python warnings while it is imported; as errors they would end the process.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")


def test_a_lander_out_of_sight_has_no_other_facts() -> None:
    env = GroundTruthInfo(gym.make("LunarLander-v3", render_mode="rgb_array"))
    _, info = env.reset(seed=0)
    lunar, game = env.unwrapped, env.reader.game
    phrases = set(game.phrases)
    scene = info["objects"]
    assert set(game.facts(scene.slots, scene.event, scene.visible)) >= phrases
    for body in (lunar.lander, *lunar.legs):  # type: ignore[attr-defined]
        body.position = (10.0, 30.0)
    env.reader.read(env)
    scene = env.reader.scene(env)
    facts = game.facts(scene.slots, scene.event, scene.visible)
    assert scene.problem is None and not scene.visible["lander"]
    assert {fact: words for fact, words in facts.items() if fact in phrases} == {"lander": "out of sight"}
    assert captions(facts, game.phrases)[0] == "the lander is out of sight."
    env.close()


def test_the_image_of_a_lander_is_the_same_until_it_moves() -> None:
    """Gymnasium lets sparks fade whenever it draws: a frame must not depend on how often it is rendered."""
    sparks = 0
    for env, scene in play("LunarLander-v3", 300, seed=9):
        game = env.reader.game
        first = game.image(env)
        again = env.reader.scene(env)
        np.testing.assert_array_equal(game.image(env), first)
        assert [thing.box for thing in again.objects] == [thing.box for thing in scene.objects]
        sparks += sum(thing.category == "spark" for thing in again.objects)
    assert sparks > 10
