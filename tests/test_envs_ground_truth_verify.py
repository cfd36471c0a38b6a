"""Proof of state and pixels by each other in every game: what is claimed is there, what is there is claimed, and an
erased object or an added speck is noticed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ground_truth_play import IDS, bare, game_name, place_of, play

from envs import names
from envs.ground_truth.objects import Claim, Game
from envs.ground_truth.registry import game_of
from envs.ground_truth.verify import prove

# Box2D's C module gives Python warnings while it is imported; as errors they would end the process.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")


@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_state_and_pixels_of_a_game_prove_each_other(env_id: str) -> None:
    problems = [scene.problem for _, scene in play(env_id, 1_000)]
    share = 0.005 if game_name(env_id) in ("pong", "breakout") else 0.02
    failed = [problem for problem in problems if problem]
    assert len(failed) <= share * len(problems), failed[:5]


@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_masks_and_ground_together_are_the_whole_field(env_id: str) -> None:
    """Drawn anew from nothing but ground and masks, in the colors of the screen, every frame is the screen."""
    game = game_of(env_id)
    x0, y0, w, h = game.field
    for i, (env, scene) in enumerate(play(env_id, 400, seed=1)):
        if (i % 20 and names.is_atari(env_id)) or scene.problem:
            continue
        screen, drawn = game.screen(env), bare(game, env)
        owner = np.zeros((h, w), int)
        for thing in scene.objects:
            x, y, width, height = thing.box
            assert thing.category in game.categories
            assert thing.mask.shape == (height, width)
            assert thing.mask.any(0).all() or thing.mask.any(1).any()
            assert thing.mask[0].any() and thing.mask[-1].any() and thing.mask[:, 0].any() and thing.mask[:, -1].any()
            part = place_of(thing, game.field)
            drawn[part][thing.mask] = screen[y : y + height, x : x + width][thing.mask]
            owner[part] += thing.mask
        assert owner.max() <= 1, "a pixel belongs to one object"
        np.testing.assert_array_equal(drawn, screen[y0 : y0 + h, x0 : x0 + w])


@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_a_speck_is_noticed(env_id: str) -> None:
    game = game_of(env_id)
    x, y, w, h = game.field
    for i, (env, scene) in enumerate(play(env_id, 400, seed=2)):
        if scene.problem or (i % 40 and names.is_atari(env_id)):
            continue
        free = np.ones((h, w), bool)
        for thing in scene.objects:
            free[place_of(thing, game.field)] = False
        specks = np.argwhere(free)
        dirty = game.screen(env).copy()
        dirty[tuple(specks[len(specks) // 2] + (y, x))] = 255  # no palette index of ALE
        assert "unexplained" in str(prove(game, game.state(env), dirty)[1])


# Always or often at an edge of the field, and yet complete.
STANDING = ("cannon", "counter", "score", "paddle", "rival", "track", "ground")


@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_every_object_that_is_erased_fails_the_proof(env_id: str) -> None:
    """Unless it is cut off by an edge of the field: an object that enters or leaves may have no visible pixel."""
    game, atari = game_of(env_id), names.is_atari(env_id)
    x, y, w, h = game.field
    tried: Counter[str] = Counter()
    for i, (env, scene) in enumerate(play(env_id, 1_300 if atari else 900, seed=2)):
        if scene.problem or i % (17 if atari else 5):  # no divisor of how things blink
            continue
        state, screen, empty = game.state(env), game.screen(env), bare(game, env)
        erased: Counter[str] = Counter()
        for thing in scene.objects:
            left, top, width, height = thing.box
            at_edge = left == x or top == y or left + width == x + w or top + height == y + h
            if erased[thing.category] == 3 or (at_edge and thing.category not in STANDING):
                continue
            erased[thing.category] += 1
            gone = screen.copy()
            gone[top : top + height, left : left + width][thing.mask] = empty[place_of(thing, game.field)][thing.mask]
            assert prove(game, state, gone)[1] is not None, (i, thing.category, thing.box)
        tried += erased
    assert set(tried) >= set(game.categories) - {"mother ship"} and min(tried.values()) >= 3, tried


def test_a_claim_that_is_hidden_by_another_may_be_incomplete() -> None:
    def claims(state: np.ndarray) -> list[Claim]:
        return [Claim("front", (2, 2, 4, 4), (7,)), Claim("back", (0, 0, 4, 4), (9,))]

    game = Game(("front", "back"), (0, 0, 10, 10), lambda s: 0, claims, lambda s: {}, {})
    screen = np.zeros((10, 10), np.uint8)
    screen[0:4, 0:4] = 9
    screen[2:6, 2:6] = 7
    objects, problem = prove(game, np.zeros(1), screen)
    assert problem is None
    assert [(thing.box, int(thing.mask.sum())) for thing in objects] == [((2, 2, 4, 4), 16), ((0, 0, 4, 4), 12)]
    screen[0, 0] = 0  # a hole where nothing hides it
    assert prove(game, np.zeros(1), screen)[1] == "back fills 11 of 16 pixels at (0, 0, 4, 4)"
