"""Breakout. Addresses: AtariARI (Anand et al., 2019), ALE's own Breakout.cpp; bricks by comparing bits with pixels.

The field lies between the walls and ends with the paddle's lines, the last in which a ball is drawn. Ball, paddle and
top row share a colour, and between the bricks the ball takes the colour of their row, so windows say whose pixels are
whose: those of a ball in front of a brick are the ball's.
"""

from __future__ import annotations

import numpy as np

from envs.truth.objects import Claim, Game, Slots

FIELD = (8, 32, 144, 161)
RED = 70  # palette index of ball, paddle and top row
ROW_COLOURS = (RED, 54, 38, 22, 198, 134)
ROWS, COLUMNS = 6, 18
TOP, BOTTOM = 57, 93  # lines of the bricks
LIVES, PADDLE_X, SCORE_HUNDREDS, SCORE, BALL_X, BALL_Y = 57, 72, 76, 77, 99, 101  # addresses

# Playfield registers, two bits a brick: six bytes (a row each, the bottom row first) for each stretch of columns, whose
# bits run down or up from left to right.
STRETCHES = ((30, (6,)), (24, (6, 4, 2, 0)), (18, (0, 2, 4, 6)), (12, (4, 6)), (6, (6, 4, 2, 0)), (0, (0, 2, 4)))
BRICK_BITS = [(base, bit) for base, bits in STRETCHES for bit in bits]
BYTES = np.array([[base + ROWS - 1 - row for base, _ in BRICK_BITS] for row in range(ROWS)])
SHIFTS = np.array([bit for _, bit in BRICK_BITS])
BRICKS = [
    Claim("brick", (8 + 8 * column, TOP + 6 * row, 8, 6), (ROW_COLOURS[row],))
    for row in range(ROWS)
    for column in range(COLUMNS)
]


def ground(ram: np.ndarray) -> int:
    """Black."""
    return 0


def bricks(ram: np.ndarray) -> np.ndarray:
    """Which bricks stand: (6, 18) bool, rows from the top, columns from the left."""
    standing: np.ndarray = (ram[BYTES] >> SHIFTS & 1).astype(bool)
    return standing


def ball_visible(ram: np.ndarray) -> bool:
    """No ball before FIRE is pressed, nor below the paddle's lines."""
    return bool(0 < ram[BALL_Y] < 187)


def ball_lines(ram: np.ndarray) -> tuple[int, int]:
    """First line of the ball and the one after its last; between the bricks it is drawn a line higher."""
    y = int(ram[BALL_Y]) + 9
    lines = [line for line in range(y - 1, y + 4) if (y - 1 <= line < y + 3 if TOP <= line < BOTTOM else y <= line)]
    return lines[0], lines[-1] + 1


def claims(ram: np.ndarray) -> list[Claim]:
    """Ball 2x4 (3 to 5 lines at an edge of the bricks), paddle 16x4, bricks 8x6."""
    found = [Claim("paddle", (int(ram[PADDLE_X]) - 47, 189, 16, 4), (RED,))]
    if ball_visible(ram):
        top, bottom = ball_lines(ram)
        found.insert(0, Claim("ball", (int(ram[BALL_X]) - 49, top, 2, bottom - top), ROW_COLOURS))
    return found + [BRICKS[i] for i in np.flatnonzero(bricks(ram))]


def decimal(byte: int) -> int:
    """A byte that holds two decimal digits."""
    return int(byte >> 4) * 10 + int(byte & 15)


def slots(ram: np.ndarray) -> Slots:
    """Centres [px], bricks that stand, score, lives."""
    visible = ball_visible(ram)
    return {
        "ball_visible": float(visible),
        "ball_x": float(ram[BALL_X] - 48) if visible else np.nan,
        "ball_y": float(ram[BALL_Y] + 11) if visible else np.nan,
        "paddle_x": float(ram[PADDLE_X] - 39),
        "bricks": float(bricks(ram).sum()),
        "score": float((ram[SCORE_HUNDREDS] & 15) * 100 + decimal(ram[SCORE])),
        "lives": float(ram[LIVES]),
    }


GAME = Game(
    categories=("ball", "paddle", "brick"),
    field=FIELD,
    ground=ground,
    claims=claims,
    slots=slots,
    ranges={
        "ball_visible": (0, 1),
        "ball_x": (8, 152),
        "ball_y": (32, 196),
        "paddle_x": (8, 160),
        "bricks": (0, 108),
        "score": (0, 864),
        "lives": (0, 5),
    },
    moving=("ball_x", "ball_y", "paddle_x"),
)
