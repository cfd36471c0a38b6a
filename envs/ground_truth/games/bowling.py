"""Bowling.

Source of the addresses of ball and bowler: AtariARI (Anand et al., 2019); those of pins and lines come from comparing
RAM and pixels.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import (
    BALL_PHRASES,
    EVENT_PHRASES,
    NO_EVENT,
    SCORE_PHRASES,
    Facts,
    horizontal_position,
)
from envs.ground_truth.emulator import decimal_digits
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (0, 104, 160, 68)  # between the lines
WOOD, BLUE, BOWLER = 38, 132, (134, 136, 88, 0)  # palette indices; of the bowler: legs, trunk, head, shoes
BOWLER_X, BALL_X, SCORE, FRAME, BALL_LINE = 29, 30, 33, 36, 41  # addresses
PINS, SLIDES = 57, 67  # addresses of the first of ten pins: its column; 0 while it stands
PIN_LINES = (137, 131, 143, 125, 137, 149, 119, 131, 143, 155)  # top lines, from the front pin to the back row
PIN_GONE = 255
FALLEN = 254  # value of SLIDES: the pin is not drawn, though its column is still in RAM
IN_HAND = 20  # largest distance of a ball in the hand of the bowler [px]


def background(ram: np.ndarray) -> int:
    """Return the color of the lane."""
    return WOOD


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim ball 4x10, bowler about 8x32, pins 2x4; a pin that was hit slides to the right before it disappears."""
    ball, bowler = int(ram[BALL_X]), int(ram[BOWLER_X])
    window, missing = (ball + 7, 163 - 2 * int(ram[BALL_LINE]), 4, 10), 8
    if ball - bowler < IN_HAND:  # the screen may lag behind by one step of the bowler
        window, missing = (ball - 13, 131, 40, 41), 40 * 41 - 24
    claimed = [
        Claim("ball", window, (BLUE,), missing, max_pixels=32, min_pixels=24),
        Claim("bowler", (bowler - 14, 130, 33, 42), BOWLER, missing=33 * 42 - 90, max_pixels=120, min_pixels=70),
    ]
    sliding = []
    for pin, line in enumerate(PIN_LINES):
        x = 135 - 2 * int(ram[PINS + pin])
        if ram[PINS + pin] == PIN_GONE or ram[SLIDES + pin] == FALLEN:
            continue
        if ram[SLIDES + pin] == 0:
            claimed.append(Claim("pin", (x, line, 2, 4), (BLUE,)))
        else:  # only its column is known, not its line
            sliding.append(Claim("pin", (x, line - 32, 2, 68), (BLUE,), missing=2 * 68, max_pixels=8, min_pixels=1))
    return claimed + sliding


def slots(ram: np.ndarray) -> Slots:
    """Read the center of the ball [px], standing pins, frame and score."""
    return {
        "ball_x": float(ram[BALL_X] + 9),
        "ball_y": float(168 - 2 * ram[BALL_LINE]),
        "bowler_x": float(ram[BOWLER_X] + 8),
        "pins": float((ram[PINS : PINS + 10] != PIN_GONE).sum()),
        "frame": float(ram[FRAME]),
        "score": decimal_digits(int(ram[SCORE])),
    }


def event(before: Slots, after: Slots) -> str:
    """Report fallen pins."""
    return "pins fell" if after["pins"] < before["pins"] else ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe the ball, the standing pins and the score."""
    return {
        "ball": horizontal_position(slots["ball_x"], FIELD),
        "pins": f"{visible['pin']}",
        "score": f"{slots['score']:.0f}",
        "event": event or NO_EVENT,
    }


GAME = Game(
    categories=("ball", "bowler", "pin"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={
        "ball_x": (0, 160),
        "ball_y": (104, 172),
        "bowler_x": (0, 160),
        "pins": (0, 10),
        "frame": (1, 10),
        "score": (0, 300),
    },
    moving=("ball_x", "ball_y", "bowler_x"),
    event=event,
    facts=facts,
    phrases={
        "ball": BALL_PHRASES,
        "pins": ("there are {} pins", "{} pins", "we see {} pins", "{} pins are left", "pins left {}"),
        "score": SCORE_PHRASES,
    },
    history={"event": EVENT_PHRASES},
)
