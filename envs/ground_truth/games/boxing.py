"""Boxing.

Source of the addresses: AtariARI (Anand et al., 2019); the windows come from comparing RAM and pixels. The arms of a
boxer reach out to either side, so a window is as wide as both arms; the boxers differ in color.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import EVENT_PHRASES, NO_EVENT, SCORE_PHRASES, Facts, position
from envs.ground_truth.emulator import decimal_digits
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (32, 36, 96, 141)  # inside the ropes
GREEN, WHITE, BLACK = 214, 12, 0  # palette indices
SCORE, RIVAL_SCORE, BOXER_X, RIVAL_X, BOXER_Y, RIVAL_Y = 18, 19, 32, 33, 34, 35  # addresses
MIN_PIXELS, MAX_PIXELS = 240, 500  # of a boxer in any pose
KNOCK_OUT = 0xC0  # value of a score, for 100 points


def background(ram: np.ndarray) -> int:
    """Return the color of the ring."""
    return GREEN


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim the white and the black boxer: 14 px wide with both arms at the body, 45 to 47 px high."""
    claimed = []
    for name, x, y, color in (("boxer", BOXER_X, BOXER_Y, WHITE), ("rival", RIVAL_X, RIVAL_Y, BLACK)):
        window = (int(ram[x]) - 14, int(ram[y]) + 34, 50, 55)
        claimed.append(Claim(name, window, (color,), missing=50 * 55, max_pixels=MAX_PIXELS, min_pixels=MIN_PIXELS))
    return claimed


def _points(byte: int) -> float:
    """Decode the score of a boxer."""
    return 100.0 if byte == KNOCK_OUT else decimal_digits(byte)


def slots(ram: np.ndarray) -> Slots:
    """Read the centers of the bodies [px] and the scores."""
    return {
        "boxer_x": float(ram[BOXER_X] + 11),
        "boxer_y": float(ram[BOXER_Y] + 61),
        "rival_x": float(ram[RIVAL_X] + 11),
        "rival_y": float(ram[RIVAL_Y] + 61),
        "score": _points(int(ram[SCORE])),
        "rival_score": _points(int(ram[RIVAL_SCORE])),
    }


def event(before: Slots, after: Slots) -> str:
    """Report a punch that hit."""
    if after["score"] > before["score"]:
        return "boxer hit"
    return "rival hit" if after["rival_score"] > before["rival_score"] else ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe both boxers and the score."""
    return {
        "boxer": position(slots["boxer_x"], slots["boxer_y"], FIELD),
        "rival": position(slots["rival_x"], slots["rival_y"], FIELD),
        "score": f"{slots['score']:.0f} to {slots['rival_score']:.0f}",
        "event": event or NO_EVENT,
    }


GAME = Game(
    categories=("boxer", "rival"),
    field=FIELD,
    background=background,
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
        "score": SCORE_PHRASES,
    },
    history={"event": EVENT_PHRASES},
)
