"""Space Invaders. Addresses: AtariARI (Anand et al., 2019); bitmaps and shots by comparing RAM and pixels.

The field begins below the line of the score, in which the mother ship flies. Shots flicker and may be absent; an alien
that was hit leaves the bitmap at once and bursts in its place.
"""

from __future__ import annotations

import numpy as np

from envs.truth.objects import Claim, Game, Slots
from envs.truth.words import Facts, width

FIELD = (0, 21, 160, 174)
BLACK, YELLOW, ORANGE, GREEN, GREY, SAND = 0, 20, 52, 196, 6, 246  # palette indices
SUNK, ROWS, ALIENS_X, SHIELDS_X, PLAYER_X, LIVES = 16, 18, 26, 27, 28, 73  # addresses; ROWS: of six, from below
SHOTS = (("bomb", 83, 81), ("bomb", 84, 82), ("missile", 87, 85), ("missile", 88, 85), ("bomb", 88, 81))
NO_SHOT = 246


def ground(ram: np.ndarray) -> int:
    """Night."""
    return BLACK


def claims(ram: np.ndarray) -> list[Claim]:
    """Cannon 7x10, shots 1 px wide, shields up to 8x18, aliens up to 8x10."""
    # Before play and after a loss, the cannon blinks or a digit says how many are left.
    found = [
        Claim("cannon", (int(ram[PLAYER_X]) - 2, 185, 9, 10), (GREEN,), missing=90),
        Claim("counter", (80, 184, 20, 11), (SAND,), missing=220),
    ]
    ended = []
    for name, x, y in SHOTS:
        if ram[y] != NO_SHOT:
            found.append(Claim(name, (int(ram[x]) - 2, 2 * int(ram[y]) + 1, 2, 15), (GREY,), missing=30, most=16))
        else:  # seen for one frame more, its column still in RAM
            ended.append(Claim(name, (int(ram[x]) - 2, FIELD[1], 2, FIELD[3]), (GREY,), missing=2 * FIELD[3], most=12))
    for shield in range(3):
        found.append(Claim("shield", (int(ram[SHIELDS_X]) - 1 + 32 * shield, 157, 8, 18), (ORANGE,), missing=144))
    bursts = []
    for row in range(6):
        y = 121 + 2 * int(ram[SUNK]) - 18 * row
        for column in range(6):
            window = (int(ram[ALIENS_X]) - 1 + 16 * column, y, 8, 10)
            if ram[ROWS + row] >> column & 1:
                found.append(Claim("alien", window, (YELLOW,), missing=80 - 20))
            else:
                bursts.append(Claim("burst", window, (YELLOW,), missing=80))
    return found + ended + bursts


def slots(ram: np.ndarray) -> Slots:
    """Middle of the cannon and left edge of the aliens [px], aliens left, lives."""
    return {
        "cannon_x": float(ram[PLAYER_X] + 2),
        "aliens_x": float(ram[ALIENS_X] - 1),
        "aliens_y": float(31 + 2 * ram[SUNK]),
        "aliens": float(sum(int(ram[ROWS + row]).bit_count() for row in range(6))),
        "lives": float(ram[LIVES]),
    }


def event(before: Slots, after: Slots) -> str:
    """An alien shot, a cannon lost."""
    if after["lives"] < before["lives"]:
        return "cannon lost"
    return "alien shot" if after["aliens"] < before["aliens"] else ""


def facts(slots: Slots, event: str) -> Facts:
    """Where the cannon is, and how many aliens there are."""
    return {
        "cannon": width(slots["cannon_x"], FIELD),
        "aliens": f"{slots['aliens']:.0f}",
        "event": event or "nothing yet",
    }


GAME = Game(
    categories=("cannon", "alien", "burst", "shield", "missile", "bomb", "counter"),
    field=FIELD,
    ground=ground,
    claims=claims,
    slots=slots,
    ranges={"cannon_x": (0, 160), "aliens_x": (0, 160), "aliens_y": (31, 195), "aliens": (0, 36), "lives": (0, 3)},
    moving=("cannon_x", "aliens_x"),
    event=event,
    facts=facts,
    phrases={
        "cannon": (
            "the cannon is {}",
            "cannon {}",
            "we see the cannon {}",
            "a green cannon stands {}",
            "our cannon {}",
        ),
        "aliens": ("there are {} aliens", "{} aliens", "we see {} aliens", "{} aliens are left", "aliens left {}"),
    },
    history={"event": ("last was {}", "before {}", "we saw {}", "the last event was {}", "last {}")},
)
