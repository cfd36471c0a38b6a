"""Freeway. Addresses: AtariARI (Anand et al., 2019); every box was measured against the pixels.

A chicken's pixels on the yellow line in the middle have the line's colour and count as line.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import Facts, height
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (8, 16, 152, 179)
KERB, BLACK, ROAD, WHITE, YELLOW = 8, 0, 6, 12, 30  # palette indices
CAR_COLOURS = (66, 220, 18, 74, 130, 36, 136, 68, 216, 26)  # from the top lane down
PLAYER_Y, OTHER_Y, SCORE, CARS = 14, 15, 103, 117  # addresses; that of the top lane's car, the others go down from it
CHICKEN_X, OTHER_X = 44, 108


def _ground() -> np.ndarray:
    """Kerb, ten lanes with dashed lines between them, kerb."""
    picture = np.full((FIELD[1] + FIELD[3], FIELD[0] + FIELD[2]), ROAD, np.uint8)
    picture[:23] = KERB
    picture[23] = picture[185] = BLACK
    picture[186:] = KERB
    dashes = [x for x in range(12, 160) if (x - 12) % 8 < 4]
    for line in (39, 55, 71, 87, 119, 135, 151, 167):
        picture[line, dashes] = WHITE
    for line in (102, 104):
        picture[line, dashes] = YELLOW
    return picture[FIELD[1] :, FIELD[0] :]


GROUND = _ground()


def ground(ram: np.ndarray) -> np.ndarray:
    """(179, 152) uint8."""
    return GROUND


def claims(ram: np.ndarray) -> list[Claim]:
    """Chickens 7x8, cars 8x10 in a window of nine columns, because some lanes move by half pixels."""
    found = [
        Claim("chicken", (CHICKEN_X, 193 - int(ram[PLAYER_Y]), 7, 8), (YELLOW,), missing=46, least=1),
        Claim("rival", (OTHER_X, 193 - int(ram[OTHER_Y]), 7, 8), (YELLOW,), missing=46, least=1),
    ]
    for lane, colour in enumerate(CAR_COLOURS):
        x, y = int(ram[CARS - lane]) - 3, 27 + 16 * lane
        # A car that leaves on one side already comes in on the other.
        for window, seen in (((x, y, 9, 10), 54), ((x - 160, y, 9, 10), 0), ((x + 160, y, 9, 10), 0)):
            inside = 8 <= window[0] <= 151
            in_sight = 8 - 4 <= window[0] <= 160 - 5
            found.append(
                Claim("car", window, (colour, BLACK), missing=90 - seen if inside else 90, least=int(in_sight))
            )
    return found


def slots(ram: np.ndarray) -> Slots:
    """Centres [px] and score."""
    cars = {f"car_{lane}_x": float(ram[CARS - lane] + 1) for lane in range(len(CAR_COLOURS))}
    return {
        "chicken_y": float(197 - ram[PLAYER_Y]),
        "score": float(ram[SCORE] >> 4) * 10 + float(ram[SCORE] & 15),
    } | cars


def event(before: Slots, after: Slots) -> str:
    """A road crossed, or a chicken thrown back by a car."""
    if after["score"] > before["score"]:
        return "chicken crossed"
    return "chicken hit" if after["chicken_y_velocity"] > 1 else ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """How far the chicken is, and its score."""
    return {
        "chicken": height(slots["chicken_y"], FIELD),
        "score": f"{slots['score']:.0f}",
        "event": event or "nothing yet",
    }


GAME = Game(
    categories=("chicken", "rival", "car"),
    field=FIELD,
    ground=ground,
    claims=claims,
    slots=slots,
    ranges={"chicken_y": (16, 195), "score": (0, 30)} | {f"car_{lane}_x": (0, 160) for lane in range(len(CAR_COLOURS))},
    moving=("chicken_y", *(f"car_{lane}_x" for lane in range(len(CAR_COLOURS)))),
    event=event,
    facts=facts,
    phrases={
        "chicken": ("the chicken is {}", "chicken {}", "we see a chicken {}", "a chicken runs {}", "our chicken {}"),
        "score": ("the score is {}", "score {}", "we see a score of {}", "the points are {}", "so far {}"),
    },
    history={"event": ("last was {}", "before {}", "we saw {}", "the last event was {}", "last {}")},
)
