"""Proof of state and pixels by each other: every claim fills its window, and every pixel of the field is explained."""

from __future__ import annotations

import numpy as np

from envs.ground_truth.objects import Box, Game, Object


def prove(game: Game, state: np.ndarray, screen: np.ndarray) -> tuple[tuple[Object, ...], str | None]:
    """Return the visible objects of a frame, and the contradiction between state and pixels (None: there is none).

    state, screen (H, W): from `game.state` and `game.screen`, of the same frame. Positions and identities come from the
    state, shapes from the pixels. A claim that may be entirely hidden or outside the field may be absent.
    """
    left, top, width, height = game.field
    field = screen[top : top + height, left : left + width]
    foreground = field != game.background(state)
    unexplained = foreground.copy()
    objects: list[Object] = []
    for claim in game.claims(state):
        x, y, w, h = visible = clip(claim.window, game.field)
        if not (w and h):
            continue
        window = np.s_[y - top : y - top + h, x - left : x - left + w]
        unclaimed = unexplained[window]
        mask = unclaimed & has_color(field[window], claim.colors)
        area, shape = w * h, None
        if claim.shape is not None:
            shape = claim.shape[y - claim.window[1] :, x - claim.window[0] :][:h, :w]
            mask &= shape
            area = int(np.count_nonzero(shape))
        count = int(np.count_nonzero(mask))
        required = area - claim.missing
        if count < required and count < required - _occluded(foreground[window], mask, shape):
            return tuple(objects), f"{claim.category} fills {count} of {area} pixels at {visible}"
        if count < claim.min_pixels:
            return tuple(objects), f"{claim.category} has {count} pixels, fewer than {claim.min_pixels}, at {visible}"
        if claim.max_pixels is not None and count > claim.max_pixels:
            return tuple(objects), f"{claim.category} has {count} pixels, more than {claim.max_pixels}, at {visible}"
        if count == w * h:
            unclaimed[:] = False
            objects.append(Object(claim.category, visible, mask))
        elif count:
            unclaimed &= ~mask
            objects.append(tight_object(claim.category, x, y, mask))
    rest = int(np.count_nonzero(unexplained))
    if rest:
        y, x = np.argwhere(unexplained)[0]
        return tuple(objects), f"{rest} pixels unexplained at x {x + left}, y {y + top} and after"
    return tuple(objects), None


def clip(box: Box, field: Box) -> Box:
    """Return the part of a box inside a field; width or height 0 where there is none."""
    x, y = max(box[0], field[0]), max(box[1], field[1])
    right, bottom = min(box[0] + box[2], field[0] + field[2]), min(box[1] + box[3], field[1] + field[3])
    return x, y, max(right - x, 0), max(bottom - y, 0)


def has_color(pixels: np.ndarray, colors: tuple[int, ...]) -> np.ndarray:
    """Return the pixels that have one of the colors, (H, W) bool."""
    matches: np.ndarray = pixels == colors[0]
    for color in colors[1:]:
        matches |= pixels == color
    return matches


def tight_object(category: str, x: int, y: int, mask: np.ndarray) -> Object:
    """Return the object of a mask (h, w) bool, not empty, whose upper left corner lies at x, y of the screen."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return Object(category, (x + left, y + top, right - left, bottom - top), mask[top:bottom, left:right])


def _occluded(foreground: np.ndarray, mask: np.ndarray, shape: np.ndarray | None) -> int:
    """Count the pixels of a window that show other objects, which may cover this one."""
    others = foreground & ~mask
    return int(np.count_nonzero(others if shape is None else others & shape))
