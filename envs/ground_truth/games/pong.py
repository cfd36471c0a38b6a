"""Pong.

Source of the addresses: AtariARI (Anand et al., 2019) and ALE's own Pong.cpp; every box was measured against the
pixels. The field lies between the walls, which have the color of the ball. The right paddle moves by two lines, and the
ball is drawn one line higher where the beam has passed it before its line begins, with both lines half drawn in
between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.ground_truth.captions import (
    BALL_PHRASES,
    EVENT_PHRASES,
    MOTION_PHRASES,
    NO_EVENT,
    SCORE_PHRASES,
    Facts,
    direction,
    position,
    vertical_position,
)
from envs.ground_truth.objects import Claim, Detections, Game, GameStatus, Slots, Visible

FIELD = (0, 34, 160, 160)
BACKGROUND, BALL, PLAYER, ENEMY = 34, 14, 200, 56  # palette indices
ENEMY_SCORE, PLAYER_SCORE, BALL_X, ENEMY_Y, PLAYER_Y, BALL_Y = 13, 14, 49, 50, 51, 54  # addresses
ENEMY_Y_NEXT, PLAYER_Y_NEXT = 21, 60  # addresses that the next frame reads the paddles from


def background(ram: np.ndarray) -> int:
    """Return the only color between the walls."""
    return BACKGROUND


def ball_visible(ram: np.ndarray) -> bool:
    """Return whether a ball is drawn: not between a point and the next serve."""
    return bool(ram[BALL_Y] != 0 and 49 <= ram[BALL_X] < 209)


def player_top(ram: np.ndarray) -> int:
    """Return the first line of the right paddle, which moves by two lines."""
    return int(34 + 2 * ((ram[PLAYER_Y] - 47) // 2))


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim ball 2x4 and paddles 4x16."""
    claimed = [
        Claim("player", (140, player_top(ram), 4, 16), (PLAYER,)),
        Claim("enemy", (16, int(ram[ENEMY_Y]) - 15, 4, 16), (ENEMY,)),
    ]
    if ball_visible(ram):
        claimed.insert(0, Claim("ball", (int(ram[BALL_X]) - 49, int(ram[BALL_Y]) - 15, 2, 5), (BALL,), missing=4))
    return claimed


def slots(ram: np.ndarray) -> Slots:
    """Read centers [px] and scores."""
    visible = ball_visible(ram)
    return {
        "ball_visible": float(visible),
        "ball_x": float(ram[BALL_X] - 48) if visible else np.nan,
        "ball_y": float(ram[BALL_Y] - 12) if visible else np.nan,
        "player_y": float(player_top(ram) + 8),
        "enemy_y": float(ram[ENEMY_Y] - 7),
        "player_score": float(ram[PLAYER_SCORE]),
        "enemy_score": float(ram[ENEMY_SCORE]),
    }


def slots_from_detections(detections: Detections, status: GameStatus, before: Slots) -> Slots:
    """Read slots from boxes. An undetected paddle stays in place; an enemy last seen at the top is above it."""
    enemy_before = before.get("enemy_y", 0.0)
    ball = next(iter(detections["ball"]), None)
    return {
        "ball_visible": float(ball is not None),
        "ball_x": np.nan if ball is None else ball[0] + ball[2] / 2,
        "ball_y": np.nan if ball is None else ball[1] + ball[3] / 2,
        "player_y": paddle_center(detections["player"], before.get("player_y", np.nan)),
        "enemy_y": paddle_center(detections["enemy"], enemy_before if enemy_before > FIELD[1] + 16 else 0.0),
        "player_score": status.won,
        "enemy_score": status.lost,
    }


def paddle_center(boxes: Sequence[tuple[float, float, float, float]], default: float) -> float:
    """Return the center of a paddle of 16 lines, some of which may be cut off at the top or the bottom of the field."""
    if not boxes:
        return default
    _, y, _, h = boxes[0]
    return y + h - 8 if y <= FIELD[1] else y + 8


def event(before: Slots, after: Slots) -> str:
    """Report a point, or a returned ball."""
    for side in ("player", "enemy"):
        if after[f"{side}_score"] > before[f"{side}_score"]:
            return f"{side} scored"
    if before["ball_x_velocity"] * after["ball_x_velocity"] < 0:
        return "player hit" if after["ball_x"] > 80 else "enemy hit"
    return ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe ball, paddles and score; and the direction of the ball and the last event."""
    enemy_hidden = slots["enemy_y"] + 8 <= FIELD[1]
    return {
        "ball": position(slots["ball_x"], slots["ball_y"], FIELD) if slots["ball_visible"] else "out of play",
        "player": vertical_position(slots["player_y"], FIELD),
        "enemy": "out of sight" if enemy_hidden else vertical_position(slots["enemy_y"], FIELD),
        "score": f"{slots['player_score']:.0f} to {slots['enemy_score']:.0f}",
        "motion": direction(slots["ball_x_velocity"], slots["ball_y_velocity"]),
        "event": event or NO_EVENT,
    }


PHRASES = {
    "ball": BALL_PHRASES,
    "player": ("the player is {}", "player {}", "we see our paddle {}", "the green paddle stands {}", "our paddle {}"),
    "enemy": (
        "the enemy is {}",
        "enemy {}",
        "we see their paddle {}",
        "the orange paddle stands {}",
        "their paddle {}",
    ),
    "score": SCORE_PHRASES,
}
HISTORY = {
    "motion": MOTION_PHRASES,
    "event": EVENT_PHRASES,
}

GAME = Game(
    categories=("ball", "player", "enemy"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={
        "ball_visible": (0, 1),
        "ball_x": (0, 160),
        "ball_y": (34, 194),
        "player_y": (32, 200),
        "enemy_y": (0, 200),
        "player_score": (0, 21),
        "enemy_score": (0, 21),
    },
    moving=("ball_x", "ball_y", "player_y", "enemy_y"),
    event=event,
    slots_from_detections=slots_from_detections,
    facts=facts,
    phrases=PHRASES,
    history=HISTORY,
    writes={
        "ball_x": lambda x: {BALL_X: round(x) + 48},
        "ball_y": lambda y: {BALL_Y: round(y) + 12},
        "player_y": lambda y: {PLAYER_Y_NEXT: round(y) + 5},
        "enemy_y": lambda y: {ENEMY_Y_NEXT: (round(y) + 7) // 2 * 2},
        # 21 points would end the game.
        "player_score": lambda points: {PLAYER_SCORE: min(round(points), 20)},
        "enemy_score": lambda points: {ENEMY_SCORE: min(round(points), 20)},
    },
)
