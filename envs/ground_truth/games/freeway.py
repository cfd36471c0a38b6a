"""Freeway.

Source of the addresses: AtariARI (Anand et al., 2019); every box was measured against the pixels. Pixels of a chicken
on the yellow line in the middle have the color of the line and count as line.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import EVENT_PHRASES, NO_EVENT, SCORE_PHRASES, Facts, vertical_position
from envs.ground_truth.emulator import decimal_digits
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (8, 16, 152, 179)
CURB, BLACK, ROAD, WHITE, YELLOW = 8, 0, 6, 12, 30  # palette indices
CAR_COLORS = (66, 220, 18, 74, 130, 36, 136, 68, 216, 26)  # from the top lane down
PLAYER_Y, OTHER_Y, SCORE, CARS = (
    14,
    15,
    103,
    117,
)  # addresses; CARS: car of the top lane, the others at descending addresses
CHICKEN_X, OTHER_X = 44, 108


def _empty_road() -> np.ndarray:
    """Draw curb, ten lanes with dashed lines between them, curb."""
    image = np.full((FIELD[1] + FIELD[3], FIELD[0] + FIELD[2]), ROAD, np.uint8)
    image[:23] = CURB
    image[23] = image[185] = BLACK
    image[186:] = CURB
    dashes = [x for x in range(12, 160) if (x - 12) % 8 < 4]
    for line in (39, 55, 71, 87, 119, 135, 151, 167):
        image[line, dashes] = WHITE
    for line in (102, 104):
        image[line, dashes] = YELLOW
    return image[FIELD[1] :, FIELD[0] :]


EMPTY_ROAD = _empty_road()


def background(ram: np.ndarray) -> np.ndarray:
    """Return the empty road, (179, 152) uint8."""
    return EMPTY_ROAD


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim chickens 7x8 and cars 8x10, in a window of nine columns, because some lanes move by half pixels."""
    claimed = [
        Claim("chicken", (CHICKEN_X, 193 - int(ram[PLAYER_Y]), 7, 8), (YELLOW,), missing=46, min_pixels=1),
        Claim("rival", (OTHER_X, 193 - int(ram[OTHER_Y]), 7, 8), (YELLOW,), missing=46, min_pixels=1),
    ]
    for lane, color in enumerate(CAR_COLORS):
        x, y = int(ram[CARS - lane]) - 3, 27 + 16 * lane
        # A car that leaves on one side already enters on the other.
        for window, required in (((x, y, 9, 10), 54), ((x - 160, y, 9, 10), 0), ((x + 160, y, 9, 10), 0)):
            inside = 8 <= window[0] <= 151
            visible = 8 - 4 <= window[0] <= 160 - 5
            missing = 90 - required if inside else 90
            claimed.append(Claim("car", window, (color, BLACK), missing, min_pixels=int(visible)))
    return claimed


def slots(ram: np.ndarray) -> Slots:
    """Read centers [px] and score."""
    cars = {f"car_{lane}_x": float(ram[CARS - lane] + 1) for lane in range(len(CAR_COLORS))}
    return {
        "chicken_y": float(197 - ram[PLAYER_Y]),
        "score": decimal_digits(int(ram[SCORE])),
    } | cars


def event(before: Slots, after: Slots) -> str:
    """Report a crossed road, or a chicken thrown back by a car."""
    if after["score"] > before["score"]:
        return "chicken crossed"
    return "chicken hit" if after["chicken_y_velocity"] > 1 else ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe the progress of the chicken, and its score."""
    return {
        "chicken": vertical_position(slots["chicken_y"], FIELD),
        "score": f"{slots['score']:.0f}",
        "event": event or NO_EVENT,
    }


GAME = Game(
    categories=("chicken", "rival", "car"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={"chicken_y": (16, 195), "score": (0, 30)} | {f"car_{lane}_x": (0, 160) for lane in range(len(CAR_COLORS))},
    moving=("chicken_y", *(f"car_{lane}_x" for lane in range(len(CAR_COLORS)))),
    event=event,
    facts=facts,
    phrases={
        "chicken": ("the chicken is {}", "chicken {}", "we see a chicken {}", "a chicken runs {}", "our chicken {}"),
        "score": SCORE_PHRASES,
    },
    history={"event": EVENT_PHRASES},
)
