"""Words for numbers, for captions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from envs.ground_truth.objects import Box

Facts = dict[str, str]
Phrases = Mapping[str, Sequence[str]]  # for every fact five patterns with one {}
PHRASINGS = 5


def third(value: float, start: float, length: float, words: tuple[str, str, str]) -> str:
    """Which third of a stretch."""
    return words[min(max(int(3 * (value - start) / length), 0), 2)]


def place(x: float, y: float, field: Box) -> str:
    """Which ninth of a field: "at the upper left", "in the middle", ..."""
    row = third(y, field[1], field[3], ("upper", "", "lower"))
    column = third(x, field[0], field[2], ("left", "", "right"))
    if not row and not column:
        return "in the middle"
    return f"at the {row} {column or 'middle'}" if row else f"at the {column}"


def height(y: float, field: Box) -> str:
    """Which third from the top."""
    return third(y, field[1], field[3], ("at the top", "in the middle", "at the bottom"))


def width(x: float, field: Box) -> str:
    """Which third from the left."""
    return third(x, field[0], field[2], ("at the left", "in the middle", "at the right"))


def direction(dx: float, dy: float) -> str:
    """Where something moves on the screen, y downwards; "nowhere" when it stands or is not known to move."""
    vertical = "" if math.isnan(dy) or dy == 0 else ("down" if dy > 0 else "up")
    horizontal = "" if math.isnan(dx) or dx == 0 else ("right" if dx > 0 else "left")
    return " and ".join(word for word in (vertical, horizontal) if word) or "nowhere"


def captions(facts: Facts, phrases: Phrases) -> list[str]:
    """The facts of a frame in five phrasings; each begins with another fact. Facts without phrases are not told."""
    told = [fact for fact in facts if fact in phrases]
    found = []
    for style in range(PHRASINGS):
        turn = style % len(told)
        clauses = [phrases[fact][style].format(facts[fact]) for fact in told[turn:] + told[:turn]]
        found.append(", ".join(clauses) + ".")
    return found
