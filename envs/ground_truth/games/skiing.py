"""Skiing.

Source of the addresses: AtariARI (Anand et al., 2019); the contents of the eight places for objects come from
comparing RAM and pixels. An object that leaves at the top keeps its last line in RAM while another byte counts down its
lines.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import Facts, horizontal_position
from envs.ground_truth.emulator import decimal_digits
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (8, 31, 144, 147)
SNOW, SKIER, FLAG, MOGUL, TREES = 14, (72,), (134, 68), (12, 10), (198, 212, 214, 218)  # palette indices
SKIER_X, HEIGHTS, COLUMNS, CONTENTS, LINES, GATES = (
    25,
    54,
    62,
    70,
    86,
    107,
)  # addresses; all but the first and the last begin eight places
IS_FLAG, IS_MOGUL, IS_TREE = 2, 5, 85
LEAVING = 140  # line in RAM from which on an object touches the upper edge
SHIFT = 6  # error of the column of such an object in RAM, at times: too far left [px]


def background(ram: np.ndarray) -> int:
    """Return the color of snow."""
    return SNOW


def _object(
    category: str, x: int, line: int, lines_left: int, size: tuple[int, int], colors: tuple[int, ...], pixels: int
) -> list[Claim]:
    """Claim the object of a place, and its part that enters on the other side.

    lines_left: its lines that have not left at the top, plus one; pixels: its fewest pixels when entirely inside.
    """
    w, h = size
    if not 1 < lines_left <= h + 1:
        return []
    leaving = lines_left <= h
    top = FIELD[1] + 1 if leaving else max(181 - line, FIELD[1])
    window = (x, top, w + SHIFT, lines_left - 1) if leaving else (x, top, w, h + 2)
    area = window[2] * window[3]
    if not leaving and x >= FIELD[0] and x + w <= FIELD[0] + FIELD[2] and top + h + 2 <= FIELD[1] + FIELD[3]:
        claim = Claim(category, window, colors, area - pixels, min_pixels=1)
    else:
        center = x + w // 2, x + w // 2 + (SHIFT if leaving else 0)
        visible = center[0] >= FIELD[0] and center[1] < FIELD[0] + FIELD[2] and top < FIELD[1] + FIELD[3] - 2
        claim = Claim(category, window, colors, area, min_pixels=int(visible))
    return [claim] + [Claim(category, (x + shift, *window[1:]), colors, area) for shift in (-160, 160)]


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim skier up to 16x28, flags 5x14 in pairs (the last red, 3 px further right), trees 16x30, moguls 16x6."""
    claimed = [Claim("skier", (int(ram[SKIER_X]) - 4, 31, 24, 36), SKIER, missing=24 * 36 - 30, min_pixels=1)]
    for place in range(8):
        content, x, line, left = (int(ram[first + place]) for first in (CONTENTS, COLUMNS, LINES, HEIGHTS))
        if content == IS_FLAG:
            for pole in (x + 1, x + 33):
                claimed += _object("flag", pole, line, left, (8, 14), FLAG, 25)
        elif content == IS_MOGUL:
            claimed += _object("mogul", x + 2, line, left, (16, 6), MOGUL, 50)
        elif content == IS_TREE:
            claimed += _object("tree", x - 3, line, left, (16, 30), TREES, 200)
    return claimed


def slots(ram: np.ndarray) -> Slots:
    """Read the column of the skier [px], gates to come, and column and line of the nearest gate ahead, if any."""
    gates = [(int(ram[LINES + i]), int(ram[COLUMNS + i])) for i in range(8) if ram[CONTENTS + i] == IS_FLAG]
    ahead = [gate for gate in gates if gate[0] < LEAVING]
    line, column = max(ahead) if ahead else (np.nan, np.nan)
    return {
        "skier_x": float(ram[SKIER_X] + 6),
        "gates": decimal_digits(int(ram[GATES])),
        "gate_x": float(column + 19),
        "gate_y": float(188 - line),
    }


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe the skier, the next gate and the gates to come."""
    ahead = bool(visible["flag"]) and slots["gate_y"] < FIELD[1] + FIELD[3] + 5  # its flags are inside
    return {
        "skier": horizontal_position(slots["skier_x"], FIELD),
        "gate": horizontal_position(slots["gate_x"], FIELD) if ahead else "not in sight",
        "gates": f"{slots['gates']:.0f}",
    }


GAME = Game(
    categories=("skier", "flag", "tree", "mogul"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={"skier_x": (0, 160), "gates": (0, 20), "gate_x": (0, 160), "gate_y": (31, 178)},
    moving=("skier_x",),
    facts=facts,
    phrases={
        "skier": ("the skier is {}", "skier {}", "we see the skier {}", "someone skis {}", "our skier {}"),
        "gate": ("the next gate is {}", "gate {}", "we see the gate {}", "two flags stand {}", "the flags {}"),
        "gates": ("there are {} gates", "{} gates", "we see {} gates to go", "{} gates are left", "gates left {}"),
    },
)
