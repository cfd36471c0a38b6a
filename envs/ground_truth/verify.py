"""State and pixels prove each other: every claim fills its window, and no pixel of the field stays unexplained."""

from __future__ import annotations

import numpy as np

from envs.ground_truth.objects import Box, Game, Object


def prove(game: Game, state: np.ndarray, screen: np.ndarray) -> tuple[tuple[Object, ...], str | None]:
    """The visible objects of a frame, and what contradicts them (None: nothing does).

    state, screen (H, W): what `game.state` and `game.screen` gave, of the same frame. Positions and identities come
    from the state, shapes from the pixels. A claim that may be wholly hidden or outside the field may be absent.
    """
    left, top, width, height = game.field
    field = screen[top : top + height, left : left + width]
    foreground = field != game.ground(state)
    unexplained = foreground.copy()
    objects: list[Object] = []
    for claim in game.claims(state):
        x, y, w, h = visible = clip(claim.window, game.field)
        if not (w and h):
            continue
        inside = np.s_[y - top : y - top + h, x - left : x - left + w]
        open_to_claims = unexplained[inside]
        mask = open_to_claims & has_colour(field[inside], claim.colours)
        full, shape = w * h, None
        if claim.inside is not None:
            shape = claim.inside[y - claim.window[1] :, x - claim.window[0] :][:h, :w]
            mask &= shape
            full = int(np.count_nonzero(shape))
        count = int(np.count_nonzero(mask))
        if count < full - claim.missing and count < full - claim.missing - _hidden(foreground[inside], mask, shape):
            return tuple(objects), f"{claim.category} fills {count} of {full} pixels at {visible}"
        if count < claim.least:
            return tuple(objects), f"{claim.category} has {count} pixels, fewer than {claim.least}, at {visible}"
        if claim.most is not None and count > claim.most:
            return tuple(objects), f"{claim.category} has {count} pixels, more than {claim.most}, at {visible}"
        if count == w * h:
            open_to_claims[:] = False
            objects.append(Object(claim.category, visible, mask))
        elif count:
            open_to_claims &= ~mask
            objects.append(tight(claim.category, x, y, mask))
    rest = int(np.count_nonzero(unexplained))
    if rest:
        y, x = np.argwhere(unexplained)[0]
        return tuple(objects), f"{rest} pixels unexplained at x {x + left}, y {y + top} and after"
    return tuple(objects), None


def clip(box: Box, field: Box) -> Box:
    """The part of a box inside a field; width or height 0 where there is none."""
    x, y = max(box[0], field[0]), max(box[1], field[1])
    right, bottom = min(box[0] + box[2], field[0] + field[2]), min(box[1] + box[3], field[1] + field[3])
    return x, y, max(right - x, 0), max(bottom - y, 0)


def has_colour(pixels: np.ndarray, colours: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: which pixels have one of the colours."""
    found: np.ndarray = pixels == colours[0]
    for colour in colours[1:]:
        found |= pixels == colour
    return found


def tight(category: str, x: int, y: int, mask: np.ndarray) -> Object:
    """The object of a mask (h, w) bool, not empty, whose upper left corner lies at x, y of the screen."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return Object(category, (x + left, y + top, right - left, bottom - top), mask[top:bottom, left:right])


def _hidden(foreground: np.ndarray, mask: np.ndarray, shape: np.ndarray | None) -> int:
    """How many pixels of a window show other objects, which may cover this one."""
    others = foreground & ~mask
    return int(np.count_nonzero(others if shape is None else others & shape))
