"""Boxing. Addresses: AtariARI (Anand et al., 2019); windows by comparing RAM and pixels.

A boxer's arms reach out to either side, so a window is as wide as both arms; the colours tell the boxers apart.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import Facts, place
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (32, 36, 96, 141)  # inside the ropes
GREEN, WHITE, BLACK = 214, 12, 0  # palette indices
SCORE, RIVAL_SCORE, BOXER_X, RIVAL_X, BOXER_Y, RIVAL_Y = 18, 19, 32, 33, 34, 35  # addresses
SMALLEST, LARGEST = 240, 500  # pixels of a boxer, however he stands


def ground(ram: np.ndarray) -> int:
    """The ring."""
    return GREEN


def claims(ram: np.ndarray) -> list[Claim]:
    """White boxer and black boxer: 14 px wide with both arms at the body, 45 to 47 px high."""
    found = []
    for name, x, y, colour in (("boxer", BOXER_X, BOXER_Y, WHITE), ("rival", RIVAL_X, RIVAL_Y, BLACK)):
        window = (int(ram[x]) - 14, int(ram[y]) + 34, 50, 55)
        found.append(Claim(name, window, (colour,), missing=50 * 55, most=LARGEST, least=SMALLEST))
    return found


def decimal(byte: int) -> float:
    """A byte that holds two decimal digits; a knock-out is written as C0 and counts 100."""
    return 100.0 if byte == 0xC0 else float(byte >> 4) * 10 + float(byte & 15)


def slots(ram: np.ndarray) -> Slots:
    """Middles of the bodies [px] and scores."""
    return {
        "boxer_x": float(ram[BOXER_X] + 11),
        "boxer_y": float(ram[BOXER_Y] + 61),
        "rival_x": float(ram[RIVAL_X] + 11),
        "rival_y": float(ram[RIVAL_Y] + 61),
        "score": decimal(int(ram[SCORE])),
        "rival_score": decimal(int(ram[RIVAL_SCORE])),
    }


def event(before: Slots, after: Slots) -> str:
    """A punch that hit."""
    if after["score"] > before["score"]:
        return "boxer hit"
    return "rival hit" if after["rival_score"] > before["rival_score"] else ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Where the two are, and their scores."""
    return {
        "boxer": place(slots["boxer_x"], slots["boxer_y"], FIELD),
        "rival": place(slots["rival_x"], slots["rival_y"], FIELD),
        "score": f"{slots['score']:.0f} to {slots['rival_score']:.0f}",
        "event": event or "nothing yet",
    }


GAME = Game(
    categories=("boxer", "rival"),
    field=FIELD,
    ground=ground,
    claims=claims,
    slots=slots,
    ranges={
        "boxer_x": (32, 128),
        "boxer_y": (36, 177),
        "rival_x": (32, 128),
        "rival_y": (36, 177),
        "score": (0, 100),
        "rival_score": (0, 100),
    },
    moving=("boxer_x", "boxer_y", "rival_x", "rival_y"),
    event=event,
    facts=facts,
    phrases={
        "boxer": (
            "the white boxer is {}",
            "white {}",
            "we see our boxer {}",
            "the man in white stands {}",
            "our man {}",
        ),
        "rival": (
            "the black boxer is {}",
            "black {}",
            "we see his rival {}",
            "the man in black stands {}",
            "his rival {}",
        ),
        "score": ("the score is {}", "score {}", "we see a score of {}", "the points are {}", "so far {}"),
    },
    history={"event": ("last was {}", "before {}", "we saw {}", "the last event was {}", "last {}")},
)
