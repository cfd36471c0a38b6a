"""Skiing. Addresses: AtariARI (Anand et al., 2019); what the eight slots hold by comparing RAM and pixels.

An object that leaves at the top keeps its last line in RAM while another byte counts its lines down.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import Facts, width
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (8, 31, 144, 147)
SNOW, SKIER, FLAG, MOGUL, TREES = 14, (72,), (134, 68), (12, 10), (198, 212, 214, 218)  # palette indices
SKIER_X, HEIGHTS, COLUMNS, KINDS, LINES, GATES = 25, 54, 62, 70, 86, 107  # addresses; all but two begin eight slots
IS_FLAG, IS_MOGUL, IS_TREE = 2, 5, 85
LEAVING = 140  # lines in RAM from which on an object touches the upper edge
SHIFT = 6  # by which its column in RAM is then too far left, at times


def ground(ram: np.ndarray) -> int:
    """Snow."""
    return SNOW


def _seen(
    category: str, x: int, line: int, lines_left: int, size: tuple[int, int], colours: tuple[int, ...], least: int
) -> list[Claim]:
    """An object of a slot, and again where it comes in on the other side.

    lines_left: how many of its lines have not left at the top, and one more; least: its pixels when all is in.
    """
    w, h = size
    if not 1 < lines_left <= h + 1:
        return []
    leaving = lines_left <= h
    top = FIELD[1] + 1 if leaving else max(181 - line, FIELD[1])
    window = (x, top, w + SHIFT, lines_left - 1) if leaving else (x, top, w, h + 2)
    area = window[2] * window[3]
    if not leaving and x >= FIELD[0] and x + w <= FIELD[0] + FIELD[2] and top + h + 2 <= FIELD[1] + FIELD[3]:
        found = [Claim(category, window, colours, area - least, least=1)]
    else:
        middle = x + w // 2, x + w // 2 + (SHIFT if leaving else 0)
        seen = middle[0] >= FIELD[0] and middle[1] < FIELD[0] + FIELD[2] and top < FIELD[1] + FIELD[3] - 2
        found = [Claim(category, window, colours, area, least=int(seen))]
    return found + [Claim(category, (x + turn, *window[1:]), colours, area) for turn in (-160, 160)]


def claims(ram: np.ndarray) -> list[Claim]:
    """Skier up to 16x28, flags 5x14 in pairs (the last red, three columns further right), trees 16x30, moguls 16x6."""
    found = [Claim("skier", (int(ram[SKIER_X]) - 4, 31, 24, 36), SKIER, missing=24 * 36 - 30, least=1)]
    for slot in range(8):
        kind, x, line, left = (int(ram[first + slot]) for first in (KINDS, COLUMNS, LINES, HEIGHTS))
        if kind == IS_FLAG:
            for pole in (x + 1, x + 33):
                found += _seen("flag", pole, line, left, (8, 14), FLAG, 25)
        elif kind == IS_MOGUL:
            found += _seen("mogul", x + 2, line, left, (16, 6), MOGUL, 50)
        elif kind == IS_TREE:
            found += _seen("tree", x - 3, line, left, (16, 30), TREES, 200)
    return found


def slots(ram: np.ndarray) -> Slots:
    """Column of the skier [px], gates still to come, and columns and lines of the nearest gate, if one is ahead."""
    gates = [(int(ram[LINES + i]), int(ram[COLUMNS + i])) for i in range(8) if ram[KINDS + i] == IS_FLAG]
    ahead = [gate for gate in gates if gate[0] < LEAVING]
    line, column = max(ahead) if ahead else (np.nan, np.nan)
    return {
        "skier_x": float(ram[SKIER_X] + 6),
        "gates": float(ram[GATES] >> 4) * 10 + float(ram[GATES] & 15),
        "gate_x": float(column + 19),
        "gate_y": float(188 - line),
    }


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Where the skier and the next gate are."""
    ahead = bool(visible["flag"]) and slots["gate_y"] < FIELD[1] + FIELD[3] + 5  # its flags are in
    return {
        "skier": width(slots["skier_x"], FIELD),
        "gate": width(slots["gate_x"], FIELD) if ahead else "not in sight",
        "gates": f"{slots['gates']:.0f}",
    }


GAME = Game(
    categories=("skier", "flag", "tree", "mogul"),
    field=FIELD,
    ground=ground,
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
