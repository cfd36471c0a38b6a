"""Captions: words of positions and directions, and sentences that can be read back."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from ground_truth_play import IDS, play

from envs import names
from envs.ground_truth.captions import PHRASINGS, captions, direction, position
from envs.ground_truth.objects import Game
from envs.ground_truth.registry import game_of, supported
from rl_gen_lab.data.vocabulary import facts_in

# Box2D's C module gives Python warnings while it is imported; as errors they would end the process.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [(0, 0, "at the upper left"), (45, 45, "in the middle"), (89, 45, "at the right"), (45, 89, "at the lower middle")],
)
def test_places_are_named_by_ninths(x: float, y: float, words: str) -> None:
    assert position(x, y, (0, 0, 90, 90)) == words


def test_directions_have_y_downwards() -> None:
    assert direction(-1, 2) == "down and left" and direction(0, -1) == "up"
    assert direction(np.nan, 0) == "nowhere"


@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_captions_are_read_back_as_the_facts_they_tell(env_id: str) -> None:
    game, distinct, described = game_of(env_id), set(), set[str]()
    phrases = game.all_phrases
    for i, (_, scene) in enumerate(play(env_id, 600, seed=8)):
        if i % 20 and names.is_atari(env_id):
            continue
        facts = {
            fact: words
            for fact, words in game.facts(scene.slots, scene.event, scene.visible).items()
            if fact in phrases
        }
        distinct.add(tuple(facts.values()))
        described |= set(facts)
        for caption in captions(facts, phrases):
            assert facts_in(caption, {fact: list(patterns) for fact, patterns in phrases.items()}) == facts
    assert len(distinct) > 1 and described == set(phrases)


@pytest.mark.parametrize("name", supported())
def test_every_fact_of_a_game_can_be_said_in_five_ways_that_differ(name: str) -> None:
    game: Game = importlib.import_module(f"envs.ground_truth.games.{name}").GAME
    phrases = game.all_phrases
    for fact, patterns in phrases.items():
        assert len(patterns) == PHRASINGS and all(p.count("{}") == 1 for p in patterns), fact
        assert len(set(patterns)) == PHRASINGS, fact
    every = [pattern for patterns in phrases.values() for pattern in patterns]
    assert len(set(every)) == len(every), "a phrase says which fact it tells"
    facts = dict.fromkeys(phrases, "xyz")
    assert len(set(captions(facts, phrases))) == PHRASINGS
