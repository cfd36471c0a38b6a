"""Breakout. Addresses: AtariARI (Anand et al., 2019), ALE's own Breakout.cpp; bricks by comparing bits with pixels.

The field lies between the walls and ends with the paddle's lines, the last in which a ball is drawn. Ball, paddle and
top row share a colour, and between the bricks the ball takes the colour of their row, so windows say whose pixels are
whose: those of a ball in front of a brick are the ball's.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import Facts, direction, place, width
from envs.ground_truth.objects import Claim, Game, Seen, Slots, Told, Visible

FIELD = (8, 32, 144, 161)
RED = 70  # palette index of ball, paddle and top row
ROW_COLOURS = (RED, 54, 38, 22, 198, 134)
BALL_COLOURS = (*ROW_COLOURS, 6)  # the last above the bricks
ROWS, COLUMNS = 6, 18
TOP, BOTTOM = 57, 93  # lines of the bricks
LIVES, PADDLE_X, SCORE_HUNDREDS, SCORE, BALL_X, BALL_Y, PADDLE_HALF = 57, 72, 76, 77, 99, 101, 108  # addresses

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


def write_bricks(count: float) -> dict[int, int]:
    """Let so many bricks stand, which ones by chance (the same for the same `count`)."""
    chance = np.random.default_rng(int(1e6 * count))
    stand = chance.permutation(ROWS * COLUMNS).reshape(ROWS, COLUMNS) < round(count)
    written = dict.fromkeys(BYTES.ravel().tolist(), 0)
    for row, column in np.argwhere(stand):
        written[int(BYTES[row, column])] |= 3 << int(SHIFTS[column])
    return written


def ball_visible(ram: np.ndarray) -> bool:
    """No ball before FIRE is pressed, nor below the paddle's lines."""
    return bool(0 < ram[BALL_Y] < 187)


def ball_lines(ram: np.ndarray) -> tuple[int, int]:
    """First line of the ball and the one after its last; down to the lowest bricks it is drawn a line higher."""
    y = int(ram[BALL_Y]) + 9
    return y - (y <= BOTTOM), y + 4 - (y + 3 < BOTTOM)


def claims(ram: np.ndarray) -> list[Claim]:
    """Ball 2x4 (2x5 where it leaves the bricks), paddle 16x4 (12x4 once the ball was at the top), bricks 8x6."""
    found = [Claim("paddle", (int(ram[PADDLE_X]) - 47, 189, 2 * int(ram[PADDLE_HALF]), 4), (RED,))]
    if ball_visible(ram):
        top, bottom = ball_lines(ram)
        found.insert(0, Claim("ball", (int(ram[BALL_X]) - 49, top, 2, bottom - top), BALL_COLOURS))
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
        "paddle_x": float(ram[PADDLE_X] - 47 + ram[PADDLE_HALF]),
        "bricks": float(bricks(ram).sum()),
        "score": float((ram[SCORE_HUNDREDS] & 15) * 100 + decimal(ram[SCORE])),
        "lives": float(ram[LIVES]),
    }


def seen(found: Seen, told: Told, before: Slots) -> Slots:
    """A paddle that is not found is where it was. Bricks are counted by their pixels: neighbours may be one box."""
    ball, paddle = next(iter(found["ball"]), None), next(iter(found["paddle"]), None)
    return {
        "ball_visible": float(ball is not None),
        "ball_x": np.nan if ball is None else ball[0] + ball[2] / 2,
        "ball_y": np.nan if ball is None else ball[1] + ball[3] / 2,
        "paddle_x": before.get("paddle_x", np.nan) if paddle is None else paddle_middle(paddle[0], paddle[2]),
        "bricks": float(round(sum(w * h for _, _, w, h in found["brick"]) / 48)),
        "score": told.won,
        "lives": told.lives,
    }


def paddle_middle(x: float, w: float) -> float:
    """The middle of a paddle of 16 pixels, of which some may be behind a wall; away from the walls, of any width."""
    left, right = FIELD[0], FIELD[0] + FIELD[2]
    if x <= left < x + w < left + 16:
        return x + w - 8
    return x + 8 if right - 16 < x and x + w >= right else x + w / 2


def event(before: Slots, after: Slots) -> str:
    """A brick broken, a ball lost, a ball thrown back."""
    if after["lives"] < before["lives"]:
        return "ball lost"
    if after["bricks"] < before["bricks"]:
        return "brick broken"
    if before["ball_y_velocity"] > 0 > after["ball_y_velocity"] and after["ball_y"] > 170:
        return "paddle hit"
    return ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Where things are, what is left; and where the ball flies, what happened last."""
    return {
        "ball": place(slots["ball_x"], slots["ball_y"], FIELD) if slots["ball_visible"] else "out of play",
        "paddle": width(slots["paddle_x"], FIELD),
        "bricks": f"{slots['bricks']:.0f}",
        "score": f"{slots['score']:.0f}",
        "lives": f"{slots['lives']:.0f}",
        "motion": direction(slots["ball_x_velocity"], slots["ball_y_velocity"]),
        "event": event or "nothing yet",
    }


PHRASES = {
    "ball": ("the ball is {}", "ball {}", "we see the ball {}", "the ball can be found {}", "a ball {}"),
    "paddle": ("the paddle is {}", "paddle {}", "we see the paddle {}", "the red paddle stands {}", "our paddle {}"),
    "bricks": ("there are {} bricks", "{} bricks", "we see {} bricks", "{} bricks are left", "bricks left {}"),
    "score": ("the score is {}", "score {}", "we see a score of {}", "the points are {}", "so far {}"),
    "lives": ("there are {} lives", "{} lives", "we see {} lives", "{} lives are left", "lives left {}"),
}
HISTORY = {
    "motion": ("it flies {}", "going {}", "we see it move {}", "the ball heads {}", "it moves {}"),
    "event": ("last was {}", "before {}", "we saw {}", "the last event was {}", "last {}"),
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
    event=event,
    seen=seen,
    facts=facts,
    phrases=PHRASES,
    history=HISTORY,
    writes={
        "ball_x": lambda x: {BALL_X: round(x) + 48},
        "ball_y": lambda y: {BALL_Y: round(y) - 11},
        "bricks": write_bricks,
    },
)
