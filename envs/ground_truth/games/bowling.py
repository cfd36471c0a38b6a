"""Bowling. Addresses of ball and bowler: AtariARI (Anand et al., 2019); pins and lines by comparing RAM and pixels."""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import Facts, width
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (0, 104, 160, 68)  # between the lines
WOOD, BLUE, BOWLER = 38, 132, (134, 136, 88, 0)  # palette indices; the bowler's legs, trunk, head and shoes
BOWLER_X, BALL_X, SCORE, FRAME, BALL_LINE = 29, 30, 33, 36, 41  # addresses
PINS, SLIDES = 57, 67  # of the first of ten pins: its column, and 0 while it stands
PIN_LINES = (137, 131, 143, 125, 137, 149, 119, 131, 143, 155)  # from the foremost pin to the last row
PIN_GONE = 255
FALLEN = 254  # of SLIDES: the pin is not drawn, though its column is still there
IN_HAND = 20  # how far from the bowler [px]


def ground(ram: np.ndarray) -> int:
    """The lane."""
    return WOOD


def claims(ram: np.ndarray) -> list[Claim]:
    """Ball 4x10, bowler about 8x32, pins 2x4; a pin that was hit slides to the right before it goes."""
    ball, bowler = int(ram[BALL_X]), int(ram[BOWLER_X])
    window, missing = (ball + 7, 163 - 2 * int(ram[BALL_LINE]), 4, 10), 8
    if ball - bowler < IN_HAND:  # the screen may be one step of the bowler behind
        window, missing = (ball - 13, 131, 40, 41), 40 * 41 - 24
    found = [
        Claim("ball", window, (BLUE,), missing, most=32, least=24),
        Claim("bowler", (bowler - 14, 130, 33, 42), BOWLER, missing=33 * 42 - 90, most=120, least=70),
    ]
    sliding = []
    for pin, line in enumerate(PIN_LINES):
        x = 135 - 2 * int(ram[PINS + pin])
        if ram[PINS + pin] == PIN_GONE or ram[SLIDES + pin] == FALLEN:
            continue
        if ram[SLIDES + pin] == 0:
            found.append(Claim("pin", (x, line, 2, 4), (BLUE,)))
        else:  # its column is known, its line is not
            sliding.append(Claim("pin", (x, line - 32, 2, 68), (BLUE,), missing=2 * 68, most=8, least=1))
    return found + sliding


def slots(ram: np.ndarray) -> Slots:
    """Middle of the ball [px], pins that stand, frame and score."""
    return {
        "ball_x": float(ram[BALL_X] + 9),
        "ball_y": float(168 - 2 * ram[BALL_LINE]),
        "bowler_x": float(ram[BOWLER_X] + 8),
        "pins": float((ram[PINS : PINS + 10] != PIN_GONE).sum()),
        "frame": float(ram[FRAME]),
        "score": float(ram[SCORE] >> 4) * 10 + float(ram[SCORE] & 15),
    }


def event(before: Slots, after: Slots) -> str:
    """Pins that fell."""
    return "pins fell" if after["pins"] < before["pins"] else ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Where the ball is, and what stands."""
    return {
        "ball": width(slots["ball_x"], FIELD),
        "pins": f"{visible['pin']}",
        "score": f"{slots['score']:.0f}",
        "event": event or "nothing yet",
    }


GAME = Game(
    categories=("ball", "bowler", "pin"),
    field=FIELD,
    ground=ground,
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
        "ball": ("the ball is {}", "ball {}", "we see the ball {}", "the ball can be found {}", "a ball {}"),
        "pins": ("there are {} pins", "{} pins", "we see {} pins", "{} pins are left", "pins left {}"),
        "score": ("the score is {}", "score {}", "we see a score of {}", "the points are {}", "so far {}"),
    },
    history={"event": ("last was {}", "before {}", "we saw {}", "the last event was {}", "last {}")},
)
