"""Tennis.

Source of the addresses: AtariARI (Anand et al., 2019) and ALE's own Tennis.cpp; the others come from comparing RAM
and pixels. The players change sides after odd games, and the side lines with them: those of a half have the color of
its player, who is invisible in front of them. The lines of the net show neither ball nor shadow.
"""

from __future__ import annotations

import functools

import numpy as np

from envs.ground_truth.captions import (
    BALL_PHRASES,
    EVENT_PHRASES,
    MOTION_PHRASES,
    NO_EVENT,
    Facts,
    direction,
    position,
)
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (8, 18, 152, 171)  # below the score, above the name of the maker
GREEN, WHITE, ORANGE, BLUE, YELLOW, VIOLET = 212, 12, 76, 140, 14, 2  # palette indices
BALL_X, UPPER_Y, LOWER_Y, UPPER_X, LOWER_X, BALL_Y, SHADOW_Y = 16, 24, 25, 26, 27, 54, 55  # addresses
POINTS, RIVAL_POINTS, GAMES, RIVAL_GAMES, SWAPPED = 69, 70, 71, 72, 80
NET = 99  # uppermost line of the net
MIN_PIXELS, MAX_PIXELS = 60, 110  # of a player in any pose
SHADOW_Y_NEXT = 15  # address that the next frame reads the shadow from
NO_BALL = (0, 255)  # values of SHADOW_Y before the first serve and between two points
POINT_NAMES = ("0", "15", "30", "40", "advantage")


def background(ram: np.ndarray) -> np.ndarray:
    """Return the empty court, (171, 152) uint8."""
    x, y, w, h = FIELD
    return _court(bool(ram[SWAPPED]))[y : y + h, x : x + w]


@functools.cache
def _court(swapped: bool) -> np.ndarray:
    """Draw side lines a pixel wide, which lean outwards by a pixel every eight lines, white lines and net."""
    court = np.full((210, 160), GREEN, np.uint8)
    upper, lower = (BLUE, ORANGE) if swapped else (ORANGE, BLUE)
    for y in range(48, 99):
        court[y, [40 - (y - 45) // 8, 119 + (y - 45) // 8]] = upper
    court[98, 125] = GREEN
    for y in range(111, 178):
        court[y, [32 - (y - 110) // 8, 127 + (y - 110) // 8]] = lower
    for line, left, right in ((48, 40, 119), (49, 41, 119), (177, 25, 136), (178, 24, 136), (179, 24, 28)):
        court[line, left:right] = WHITE
    court[NET : NET + 12, 32:128] = WHITE
    court[NET + 12 : NET + 14, 33:127] = WHITE
    return court


@functools.cache
def _occluding() -> np.ndarray:
    """Return the pixels that hide ball and shadow, (210, 160) bool: lines, and the height of the net."""
    occluding = _court(False) != GREEN
    occluding[NET : NET + 14] = True
    return occluding


def drawn(y: int) -> bool:
    """Return whether ball or shadow is drawn: on odd lines only; for a white line the game writes an even one."""
    return bool(y % 2) and 189 - y >= FIELD[1]


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim ball and shadow 2x2, a line lower behind the net; players 11 to 16 px wide and 23 px high."""
    claimed = []
    for name, y, color in (("ball", BALL_Y, YELLOW), ("shadow", SHADOW_Y, VIOLET)):
        if not drawn(ram[y]):
            continue
        left, top = int(ram[BALL_X]) - 2, 189 - int(ram[y])
        top += top > NET
        hidden = _occluding()[max(top, 0) : max(top + 2, 0), max(left, 0) : max(left + 2, 0)]
        claimed.append(Claim(name, (left, top, 2, 2), (color,), int(np.count_nonzero(hidden))))
    upper, lower = ("rival", "player") if ram[SWAPPED] else ("player", "rival")
    for name, x, top in ((upper, UPPER_X, 166 - ram[UPPER_Y]), (lower, LOWER_X, 167 - ram[LOWER_Y])):
        window = (int(ram[x]) - 2, int(top), 16, 23)
        color = ORANGE if name == "player" else BLUE
        claimed.append(Claim(name, window, (color,), missing=16 * 23, max_pixels=MAX_PIXELS, min_pixels=MIN_PIXELS))
    return claimed


def slots(ram: np.ndarray) -> Slots:
    """Read centers [px], points (0 to 3 for 0, 15, 30, 40), games, and whether the orange player has the upper half."""
    upper = int(ram[UPPER_X]) + 6, 177 - int(ram[UPPER_Y])
    lower = int(ram[LOWER_X]) + 6, 178 - int(ram[LOWER_Y])
    player, rival = (lower, upper) if ram[SWAPPED] else (upper, lower)
    visible = int(ram[SHADOW_Y]) not in NO_BALL and 190 - int(ram[BALL_Y]) >= FIELD[1]
    return {
        "ball_visible": float(visible),
        "ball_x": float(ram[BALL_X] - 1) if visible else np.nan,
        "ball_y": float(190 - ram[BALL_Y]) if visible else np.nan,
        "shadow_y": float(190 - ram[SHADOW_Y]) if visible else np.nan,
        "player_x": float(player[0]),
        "player_y": float(player[1]),
        "rival_x": float(rival[0]),
        "rival_y": float(rival[1]),
        "player_points": float(ram[POINTS]),
        "rival_points": float(ram[RIVAL_POINTS]),
        "player_games": float(ram[GAMES]),
        "rival_games": float(ram[RIVAL_GAMES]),
        "player_above": float(not ram[SWAPPED]),
    }


def event(before: Slots, after: Slots) -> str:
    """Report a won game or point, a returned ball."""
    for count, won in (("games", "game"), ("points", "point")):
        for side in ("player", "rival"):
            if after[f"{side}_{count}"] > before[f"{side}_{count}"]:
                return f"{won} to the {side}"
    if before["shadow_y_velocity"] * after["shadow_y_velocity"] < 0:
        upwards = after["shadow_y_velocity"] < 0  # away from the player of the lower half
        return "rival hit" if upwards == bool(after["player_above"]) else "player hit"
    return ""


def _point_name(points: int) -> str:
    return POINT_NAMES[min(points, len(POINT_NAMES) - 1)]


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe ball, players and score; and the direction of the ball and the last event."""
    points = [int(slots[f"{side}_points"]) for side in ("player", "rival")]
    games = [int(slots[f"{side}_games"]) for side in ("player", "rival")]
    ball = "out of sight" if slots["ball_visible"] else "out of play"  # hidden by a player or a line
    if NET <= slots["ball_y"] < NET + 14:  # where it is not drawn
        ball = "at the net"
    elif visible["ball"] and slots["ball_visible"]:
        ball = position(slots["ball_x"], slots["ball_y"], FIELD)
    return {
        "ball": ball,
        "player": position(slots["player_x"], slots["player_y"], FIELD),
        "rival": position(slots["rival_x"], slots["rival_y"], FIELD),
        # The screen shows points, or games while both have none.
        "score": f"{_point_name(points[0])} to {_point_name(points[1])}"
        if any(points)
        else f"{games[0]} to {games[1]} in games",
        "motion": direction(slots["ball_x_velocity"], slots["shadow_y_velocity"]),
        "event": event or NO_EVENT,
    }


PHRASES = {
    "ball": BALL_PHRASES,
    "player": (
        "the orange player is {}",
        "orange {}",
        "we see our player {}",
        "the player in orange stands {}",
        "our player {}",
    ),
    "rival": ("the blue player is {}", "blue {}", "we see the rival {}", "the one in blue stands {}", "the rival {}"),
    "score": ("the score is {}", "score {}", "we see a score of {}", "the board says {}", "so far {}"),
}
HISTORY = {
    "motion": MOTION_PHRASES,
    "event": EVENT_PHRASES,
}

GAME = Game(
    categories=("ball", "shadow", "player", "rival"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={
        "ball_visible": (0, 1),
        "ball_x": (0, 160),
        "ball_y": (18, 190),
        "shadow_y": (18, 190),
        "player_x": (8, 160),
        "player_y": (18, 190),
        "rival_x": (8, 160),
        "rival_y": (18, 190),
        "player_points": (0, 4),
        "rival_points": (0, 4),
        "player_games": (0, 7),
        "rival_games": (0, 7),
        "player_above": (0, 1),
    },
    moving=("ball_x", "ball_y", "shadow_y", "player_x", "player_y", "rival_x", "rival_y"),
    event=event,
    facts=facts,
    phrases=PHRASES,
    history=HISTORY,
    # Points are drawn when the game counts them, not when they are written.
    writes={
        "ball_x": lambda x: {BALL_X: round(min(max(x, 8), 150)) + 1},
        "shadow_y": lambda y: {SHADOW_Y_NEXT: 190 - round(min(max(y, 40), 180)) | 1},
    },
)
