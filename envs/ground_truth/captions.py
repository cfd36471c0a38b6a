"""Captions: words for numbers, phrases that several games share, and the sentences made of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from envs.ground_truth.objects import Box

Facts = dict[str, str]
Phrases = Mapping[str, Sequence[str]]  # for every fact five patterns with one {}
PHRASINGS = 5
NO_EVENT = "nothing yet"

# Phrases of facts that several games have.
BALL_PHRASES = ("the ball is {}", "ball {}", "we see the ball {}", "the ball can be found {}", "a ball {}")
SCORE_PHRASES = ("the score is {}", "score {}", "we see a score of {}", "the points are {}", "so far {}")
MOTION_PHRASES = ("it flies {}", "going {}", "we see it move {}", "the ball heads {}", "it moves {}")
EVENT_PHRASES = ("last was {}", "before {}", "we saw {}", "the last event was {}", "last {}")


def third(value: float, start: float, length: float, words: tuple[str, str, str]) -> str:
    """Name the third of an interval in which a value lies."""
    return words[min(max(int(3 * (value - start) / length), 0), 2)]


def position(x: float, y: float, field: Box) -> str:
    """Name the ninth of a field in which a point lies: "at the upper left", "in the middle", ..."""
    row = third(y, field[1], field[3], ("upper", "", "lower"))
    column = third(x, field[0], field[2], ("left", "", "right"))
    if not row and not column:
        return "in the middle"
    return f"at the {row} {column or 'middle'}" if row else f"at the {column}"


def vertical_position(y: float, field: Box) -> str:
    """Name the third of a field, counted from the top."""
    return third(y, field[1], field[3], ("at the top", "in the middle", "at the bottom"))


def horizontal_position(x: float, field: Box) -> str:
    """Name the third of a field, counted from the left."""
    return third(x, field[0], field[2], ("at the left", "in the middle", "at the right"))


def direction(dx: float, dy: float) -> str:
    """Name the direction of a motion on the screen, y downwards; "nowhere" for no motion or an unknown one."""
    vertical = "" if math.isnan(dy) or dy == 0 else ("down" if dy > 0 else "up")
    horizontal = "" if math.isnan(dx) or dx == 0 else ("right" if dx > 0 else "left")
    return " and ".join(word for word in (vertical, horizontal) if word) or "nowhere"


def captions(facts: Facts, phrases: Phrases) -> list[str]:
    """Write the facts of a frame in five phrasings, each with another first fact; omit facts without phrases."""
    names = [fact for fact in facts if fact in phrases]
    sentences = []
    for phrasing in range(PHRASINGS):
        first = phrasing % len(names)
        clauses = [phrases[fact][phrasing].format(facts[fact]) for fact in names[first:] + names[:first]]
        sentences.append(", ".join(clauses) + ".")
    return sentences
