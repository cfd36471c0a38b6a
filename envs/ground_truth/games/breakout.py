"""Breakout.

Source of the addresses: AtariARI (Anand et al., 2019) and ALE's own Breakout.cpp; those of the bricks come from
comparing bits and pixels. The field lies between the walls and ends with the last line in which a ball is drawn, of
which the game draws only the left part. Ball, paddle and top row share a color, and between the bricks the ball takes
the color of their row, so windows decide which object a pixel belongs to: in front of a brick, to the ball.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import (
    BALL_PHRASES,
    EVENT_PHRASES,
    MOTION_PHRASES,
    NO_EVENT,
    SCORE_PHRASES,
    Facts,
    direction,
    horizontal_position,
    position,
)
from envs.ground_truth.emulator import decimal_digits
from envs.ground_truth.objects import Claim, Detections, Game, GameStatus, Slots, Visible

FIELD = (8, 32, 144, 164)
WORDS_FIELD = (8, 32, 144, 161)  # down to the lines of the paddle: the thirds that captions name
LAST_LINE = FIELD[1] + FIELD[3] - 1
RED = 70  # palette index of ball, paddle and top row
ROW_COLORS = (RED, 54, 38, 22, 198, 134)
BALL_COLORS = (*ROW_COLORS, 6)  # the last above the bricks
ROWS, COLUMNS = 6, 18
TOP, BOTTOM = 57, 93  # lines of the bricks
LIVES, PADDLE_X, SCORE_HUNDREDS, SCORE, BALL_X, BALL_Y, PADDLE_HALF = 57, 72, 76, 77, 99, 101, 108  # addresses

# Playfield registers, two bits a brick: six bytes (a row each, the bottom row first) for each run of columns, with bits
# that descend or ascend from left to right.
COLUMN_RUNS = ((30, (6,)), (24, (6, 4, 2, 0)), (18, (0, 2, 4, 6)), (12, (4, 6)), (6, (6, 4, 2, 0)), (0, (0, 2, 4)))
BRICK_BITS = [(base, bit) for base, bits in COLUMN_RUNS for bit in bits]
BYTES = np.array([[base + ROWS - 1 - row for base, _ in BRICK_BITS] for row in range(ROWS)])
SHIFTS = np.array([bit for _, bit in BRICK_BITS])
BRICKS = [
    Claim("brick", (8 + 8 * column, TOP + 6 * row, 8, 6), (ROW_COLORS[row],))
    for row in range(ROWS)
    for column in range(COLUMNS)
]


def background(ram: np.ndarray) -> int:
    """Return black."""
    return 0


def bricks(ram: np.ndarray) -> np.ndarray:
    """Return the standing bricks: (6, 18) bool, rows from the top, columns from the left."""
    standing: np.ndarray = (ram[BYTES] >> SHIFTS & 1).astype(bool)
    return standing


def write_bricks(count: float) -> dict[int, int]:
    """Return the bytes of `count` standing bricks, chosen at random (the same ones for the same `count`)."""
    rng = np.random.default_rng(int(1e6 * count))
    standing = rng.permutation(ROWS * COLUMNS).reshape(ROWS, COLUMNS) < round(count)
    written = dict.fromkeys(BYTES.ravel().tolist(), 0)
    for row, column in np.argwhere(standing):
        written[int(BYTES[row, column])] |= 3 << int(SHIFTS[column])
    return written


def ball_visible(ram: np.ndarray) -> bool:
    """Return whether a ball is drawn: not before FIRE is pressed, nor below the field or where its last line is black.

    The game clears the ball while the beam draws the last line: further left if the ball's line is odd.
    """
    return bool(ram[BALL_Y] > 0 and (ball_lines(ram)[0] < LAST_LINE or _last_columns(ram)))


def _last_columns(ram: np.ndarray) -> int:
    """Return the number of columns of the ball that are drawn in the last line of the field, 0 to 2."""
    if ball_lines(ram)[0] > LAST_LINE:
        return 0
    end = 46 if ram[BALL_Y] % 2 else 56
    return min(max(end - int(ram[BALL_X] - 49), 0), 2)


def ball_lines(ram: np.ndarray) -> tuple[int, int]:
    """Return the first line of the ball and the line after its last; as low as the bricks it is drawn a line higher."""
    y = int(ram[BALL_Y]) + 9
    return y - (y <= BOTTOM), y + 4 - (y + 3 < BOTTOM)


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim ball 2x4 (2x5 below the bricks), paddle 16x4 (12x4 after the ball was at the top), bricks 8x6."""
    claimed = [Claim("paddle", (int(ram[PADDLE_X]) - 47, 189, 2 * int(ram[PADDLE_HALF]), 4), (RED,))]
    if ball_visible(ram):
        top, bottom = ball_lines(ram)
        shape = None
        if bottom > LAST_LINE:
            shape = np.ones((bottom - top, 2), bool)
            shape[LAST_LINE - top :, _last_columns(ram) :] = False
        claimed.insert(0, Claim("ball", (int(ram[BALL_X]) - 49, top, 2, bottom - top), BALL_COLORS, shape=shape))
    return claimed + [BRICKS[i] for i in np.flatnonzero(bricks(ram))]


def slots(ram: np.ndarray) -> Slots:
    """Read centers [px], standing bricks, score and lives."""
    visible = ball_visible(ram)
    return {
        "ball_visible": float(visible),
        "ball_x": float(ram[BALL_X] - 48) if visible else np.nan,
        "ball_y": float(ram[BALL_Y] + 11) if visible else np.nan,
        "paddle_x": float(ram[PADDLE_X] - 47 + ram[PADDLE_HALF]),
        "bricks": float(bricks(ram).sum()),
        "score": float((ram[SCORE_HUNDREDS] & 15) * 100) + decimal_digits(int(ram[SCORE])),
        "lives": float(ram[LIVES]),
    }


def slots_from_detections(detections: Detections, status: GameStatus, before: Slots) -> Slots:
    """Read slots from boxes. An undetected paddle stays in place; bricks are counted by area: some share a box."""
    ball, paddle = next(iter(detections["ball"]), None), next(iter(detections["paddle"]), None)
    return {
        "ball_visible": float(ball is not None),
        "ball_x": np.nan if ball is None else ball[0] + ball[2] / 2,
        "ball_y": np.nan if ball is None else ball[1] + ball[3] / 2,
        "paddle_x": before.get("paddle_x", np.nan) if paddle is None else paddle_center(paddle[0], paddle[2]),
        "bricks": float(round(sum(w * h for _, _, w, h in detections["brick"]) / 48)),
        "score": status.won,
        "lives": status.lives,
    }


def paddle_center(x: float, w: float) -> float:
    """Return the center of a paddle: next to a wall, which hides a part of its 16 pixels; elsewhere, of any width."""
    left, right = FIELD[0], FIELD[0] + FIELD[2]
    if x <= left < x + w < left + 16:
        return x + w - 8
    return x + 8 if right - 16 < x and x + w >= right else x + w / 2


def event(before: Slots, after: Slots) -> str:
    """Report a lost ball, a broken brick, a returned ball."""
    if after["lives"] < before["lives"]:
        return "ball lost"
    if after["bricks"] < before["bricks"]:
        return "brick broken"
    if before["ball_y_velocity"] > 0 > after["ball_y_velocity"] and after["ball_y"] > 170:
        return "paddle hit"
    return ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe ball, paddle, bricks, score and lives; and the direction of the ball and the last event."""
    return {
        "ball": position(slots["ball_x"], slots["ball_y"], WORDS_FIELD) if slots["ball_visible"] else "out of play",
        "paddle": horizontal_position(slots["paddle_x"], WORDS_FIELD),
        "bricks": f"{slots['bricks']:.0f}",
        "score": f"{slots['score']:.0f}",
        "lives": f"{slots['lives']:.0f}",
        "motion": direction(slots["ball_x_velocity"], slots["ball_y_velocity"]),
        "event": event or NO_EVENT,
    }


PHRASES = {
    "ball": BALL_PHRASES,
    "paddle": ("the paddle is {}", "paddle {}", "we see the paddle {}", "the red paddle stands {}", "our paddle {}"),
    "bricks": ("there are {} bricks", "{} bricks", "we see {} bricks", "{} bricks are left", "bricks left {}"),
    "score": SCORE_PHRASES,
    "lives": ("there are {} lives", "{} lives", "we see {} lives", "{} lives are left", "lives left {}"),
}
HISTORY = {
    "motion": MOTION_PHRASES,
    "event": EVENT_PHRASES,
}

GAME = Game(
    categories=("ball", "paddle", "brick"),
    field=FIELD,
    background=background,
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
    event=event,
    slots_from_detections=slots_from_detections,
    facts=facts,
    phrases=PHRASES,
    history=HISTORY,
    writes={
        "ball_x": lambda x: {BALL_X: round(x) + 48},
        "ball_y": lambda y: {BALL_Y: round(y) - 11},
        "bricks": write_bricks,
    },
)
