"""Space Invaders.

Source of the addresses: AtariARI (Anand et al., 2019); all others come from comparing RAM and pixels. The mother
ship flies in the lines of the scores, which disappear meanwhile. RAM says which objects the game leaves undrawn in a
frame: bombs and missile take turns, the cannon blinks while a counter shows the cannons left, bombs go on below the
ground. An alien that was hit leaves the bitmap at once and bursts in its place.
"""

from __future__ import annotations

import numpy as np

from envs.ground_truth.captions import EVENT_PHRASES, NO_EVENT, Facts, horizontal_position
from envs.ground_truth.emulator import decimal_digits
from envs.ground_truth.objects import Claim, Game, Slots, Visible

FIELD = (0, 8, 160, 187)
BLACK, YELLOW, ORANGE, GREEN, GRAY, SAND, VIOLET = 0, 20, 52, 196, 6, 246, 82  # palette indices
SUNK, ROWS, ALIENS_X, SHIELDS_X, PLAYER_X, SHIELDS, LIVES = 16, 18, 26, 27, 28, 43, 73  # addresses; ROWS: upwards
HIT, HIT_LINE, MODE, BURST, TURN, SCORE_HUNDREDS, SCORE, BOMB_HIT = 2, 9, 42, 72, 74, 102, 104, 114  # addresses
SHIP_X, SHIP_FLIES = 30, 76  # addresses; bit 2 of the second
BELOW_SCORES = 21  # line from which on shots are drawn while scores are
WAITING = 1  # value of MODE before play and after a loss
SHIELDS_Y = 157  # first line of the shields
SHIELDS_GONE = 15  # value of SUNK from which on the aliens are as low as the shields were
BOMBS, MISSILE = ((83, 81), (84, 82)), (87, 85)  # addresses of column and line
NO_SHOT, HIT_SHIELD = 246, 127  # lines in RAM, in steps of two lines of the screen
LAUNCHED, LANDED = 85, 94  # last visible line of a missile and of a bomb
SHOT_NAMES = ("missile", "bomb_0", "bomb_1")


def background(ram: np.ndarray) -> int:
    """Return the color of the night."""
    return BLACK


def cannon_visible(ram: np.ndarray) -> bool:
    """Return whether the cannon is drawn: until play begins it blinks, eight frames on and eight off."""
    return bool(ram[MODE] != WAITING or ram[TURN] & 8)


def ship_visible(ram: np.ndarray) -> bool:
    """Return whether the mother ship flies or bursts."""
    return bool(ram[SHIP_FLIES] & 4)


def shots(ram: np.ndarray) -> list[Claim]:
    """Claim bombs in even frames, the missile in odd ones; after a hit a shot is drawn for one more frame."""
    claimed = []
    if ram[TURN] & 1:
        x, y = (int(ram[address]) for address in MISSILE)
        if y == NO_SHOT and ram[HIT]:
            claimed.append(_shot("missile", x, 2 * int(ram[HIT_LINE]) - 44, 1))
        elif y == HIT_SHIELD and ram[HIT]:
            claimed.append(
                Claim("missile", (x - 2, SHIELDS_Y, 1, 28), (GRAY,), missing=28, max_pixels=12, min_pixels=1)
            )
        elif y <= LAUNCHED:
            top = max(2 * y, 8 if ship_visible(ram) else BELOW_SCORES)
            claimed.append(_shot("missile", x, top, int(y > 7 or ship_visible(ram))))
        return claimed
    for address_x, address_y in BOMBS:
        x, y = int(ram[address_x]), int(ram[address_y])
        if y == NO_SHOT and ram[BOMB_HIT] == 1:
            column = (x - 2, BELOW_SCORES, 1, FIELD[1] + FIELD[3] - BELOW_SCORES)
            claimed.append(Claim("bomb", column, (GRAY,), column[3], max_pixels=12, min_pixels=1))
        elif y <= LANDED:
            claimed.append(_shot("bomb", x, 2 * y, 1 if y < 93 else 0))
    return claimed


def shields(ram: np.ndarray) -> list[Claim]:
    """Claim the shields: nine bytes each, two lines a byte. In the frame of a hit the screen may lag behind RAM."""
    hit, claimed = ram[BOMB_HIT] == 1 or bool(ram[HIT]), []
    for shield in range(3):
        bits = np.unpackbits(ram[SHIELDS + 9 * shield :][:9].astype(np.uint8)[:, None], axis=1).astype(bool)
        shape = bits.repeat(2, axis=0)
        window = (int(ram[SHIELDS_X]) - 1 + 32 * shield, SHIELDS_Y, 8, 18)
        missing = int(np.count_nonzero(~shape)) if hit else 0
        claimed.append(Claim("shield", window, (ORANGE,), missing, shape=None if hit else shape))
    return claimed


def _shot(name: str, x: int, top: int, min_pixels: int) -> Claim:
    return Claim(name, (x - 2, top, 1, 16), (GRAY,), missing=16, max_pixels=14, min_pixels=min_pixels)


def claims(ram: np.ndarray) -> list[Claim]:
    """Claim cannon 7x10, shots 1 px wide, shields up to 8x18, aliens up to 8x10, mother ship 7x8, scores."""
    claimed = []
    if ship_visible(ram):  # 41 px; when it bursts as few as 20, and a line higher
        claimed.append(
            Claim(
                "mother ship",
                (int(ram[SHIP_X]) - 3, 10, 12, 10),
                (VIOLET,),
                missing=120 - 20,
                max_pixels=41,
                min_pixels=1,
            )
        )
    else:
        claimed += [
            Claim("score", (4 + 80 * i, 10, 60, 10), ((GREEN, SAND)[i],), 600 - 120, min_pixels=120) for i in (0, 1)
        ]
    if cannon_visible(ram):
        claimed.append(Claim("cannon", (int(ram[PLAYER_X]) - 2, 185, 9, 10), (GREEN,), missing=90 - 36))
    if ram[MODE] == WAITING:
        claimed.append(Claim("counter", (80, 184, 20, 11), (SAND,), missing=220 - 64))
    claimed += shots(ram)
    claimed += shields(ram) if ram[SUNK] < SHIELDS_GONE else []
    bursting = divmod(int(ram[BURST]) & 63, 8)
    for row in range(6):
        y = 121 + 2 * int(ram[SUNK]) - 18 * row
        for column in range(6):
            window = (int(ram[ALIENS_X]) - 1 + 16 * column, y, 8, 10)
            if ram[ROWS + row] >> column & 1:
                claimed.append(Claim("alien", window, (YELLOW,), missing=80 - 20))
            elif (row, column) == bursting:
                claimed.append(Claim("burst", window, (YELLOW,), missing=80 - 16))
    return claimed


def slots(ram: np.ndarray) -> Slots:
    """Read the center of the cannon and the left edge of the aliens [px], aliens left, lives, score, and shots.

    A shot in flight has a position in every frame, though it is drawn in every second one.
    """
    shots: Slots = {}
    for name, (address_x, address_y), last in zip(
        SHOT_NAMES, (MISSILE, *BOMBS), (LAUNCHED, LANDED, LANDED), strict=True
    ):
        x, y = int(ram[address_x]), int(ram[address_y])
        shots[f"{name}_x"], shots[f"{name}_y"] = (x - 2.0, 2.0 * y + 8) if y <= last else (np.nan, np.nan)
    ship = ship_visible(ram)
    return {
        "ship_visible": float(ship),
        "ship_x": float(ram[SHIP_X] + 2) if ship else np.nan,
        "cannon_visible": float(cannon_visible(ram)),
        "cannon_x": float(ram[PLAYER_X] + 2),
        "aliens_x": float(ram[ALIENS_X] - 1),
        "aliens_y": float(31 + 2 * ram[SUNK]),
        "aliens": float(sum(int(ram[ROWS + row]).bit_count() for row in range(6))),
        "lives": float(ram[LIVES]),
        "score": 100 * decimal_digits(int(ram[SCORE_HUNDREDS])) + decimal_digits(int(ram[SCORE])),
    } | shots


def event(before: Slots, after: Slots) -> str:
    """Report a lost cannon, a shot alien."""
    if after["lives"] < before["lives"]:
        return "cannon lost"
    return "alien shot" if after["aliens"] < before["aliens"] else ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe cannon and mother ship, if visible, and the number of aliens."""
    return {
        "cannon": horizontal_position(slots["cannon_x"], FIELD) if visible["cannon"] else "out of sight",
        "aliens": f"{visible['alien']}",
        "ship": horizontal_position(slots["ship_x"], FIELD) if visible["mother ship"] else "out of sight",
        "event": event or NO_EVENT,
    }


GAME = Game(
    categories=("cannon", "alien", "burst", "shield", "missile", "bomb", "counter", "mother ship", "score"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={
        "ship_visible": (0, 1),
        "ship_x": (0, 160),
        "cannon_visible": (0, 1),
        "cannon_x": (0, 160),
        "aliens_x": (0, 160),
        "aliens_y": (31, 195),
        "aliens": (0, 36),
        "lives": (0, 3),
        "score": (0, 9_999),
    }
    | {f"{name}_{axis}": (0, end) for name in SHOT_NAMES for axis, end in (("x", 160), ("y", 195))},
    moving=("cannon_x", "aliens_x", *(f"{name}_y" for name in SHOT_NAMES)),
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
        "ship": (
            "the mother ship is {}",
            "mother ship {}",
            "we see the mother ship {}",
            "a violet mother ship is {}",
            "their mother ship {}",
        ),
    },
    history={"event": EVENT_PHRASES},
)
