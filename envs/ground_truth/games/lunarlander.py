"""LunarLander: Box2D's polygons, drawn a second time as the environment draws them (600 x 400 px, 30 px per unit).

The mask of a polygon is the pixels that it touches when it is drawn alone; the image must show exactly these pixels.
Sparks are drawn too, but every `render` lets them fade, so the image of a frame is rendered once and kept.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.captions import NO_EVENT, Facts, direction, position, third
from envs.ground_truth.objects import Claim, Game, Slots, Visible
from envs.ground_truth.rendering import EDGE, color_indices, rendered_image

FIELD = (0, 0, 600, 400)
SCALE = 30.0  # pixels per unit
COLORS = ((0, 0, 0), (255, 255, 255), (128, 102, 230), (77, 77, 128), (204, 204, 0))
SKY, WHITE, HULL, RIM, YELLOW = range(5)
BODIES = ((0, 12), (12, 20), (20, 28))  # indices of the corners of lander and legs in the state
X, Y, TURN, CONTACTS, PADS, PAD_Y, RIDGE, SPARKS = 28, 29, 30, 31, 33, 35, 36, 47  # indices in the state
LEG_HEIGHT = 18  # from the center of the lander to its feet [px]
Points = Sequence[tuple[float, float]]

_images: weakref.WeakKeyDictionary[gym.Env[Any, Any], tuple[bytes, np.ndarray]] = weakref.WeakKeyDictionary()


def state(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return all that is drawn, (47 + 2 for each spark,) float64 [px, y upwards].

    Corners of lander and legs, center and angle [radians] of the lander, contact of the legs, positions of the flags
    and their height, heights of the ground, centers of the sparks.
    """
    game: Any = env.unwrapped
    corners = [body.transform * v * SCALE for body in game.drawlist for v in body.fixtures[0].shape.vertices]
    lander = game.lander
    heights = [poly[0][1] * SCALE for poly in game.sky_polys] + [game.sky_polys[-1][1][1] * SCALE]
    values = [value for corner in corners for value in corner]
    values += [lander.position[0] * SCALE, lander.position[1] * SCALE, lander.angle]
    values += [float(leg.ground_contact) for leg in game.legs]
    values += [game.helipad_x1 * SCALE, game.helipad_x2 * SCALE, game.helipad_y * SCALE, *heights]
    values += [value * SCALE for spark in game.particles for value in spark.position]
    return np.array(values, dtype=np.float64)


def image(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the image, (400, 600, 3) uint8 RGB, rendered once a frame."""
    game = env.unwrapped
    kept = _images.get(game)
    if kept is None or kept[0] != state(env).tobytes():
        new = rendered_image(env).copy()
        kept = state(env).tobytes(), new  # the state after rendering, with the sparks that are left
        _images[game] = kept
    return kept[1]


def screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the screen: (400, 600) uint8 color indices; sparks and antialiased edges are EDGE."""
    return color_indices(image(env), COLORS)


def background(state: np.ndarray) -> int:
    """Return the color of the sky."""
    return SKY


def _drawn(category: str, colors: tuple[int, ...], points: Points, draw: Callable[[Any, Points], None]) -> Claim:
    """Claim the pixels that `draw` changes on a black surface; points: all corners, x, y upwards [px].

    A pixel that is mixed with the background may be too faint to detect; every other one must be visible.
    """
    import pygame

    # Shifted by integer pixels and cut at the edges of the screen, where lines are drawn differently.
    left, low = (max(int(min(values)) - 3, 0) for values in zip(*points, strict=True))
    right, high = (
        min(int(max(values)) + 4, end) for values, end in zip(zip(*points, strict=True), FIELD[2:], strict=True)
    )
    if right <= left or high <= low:
        return Claim(category, (0, 0, 0, 0), colors)
    surface = pygame.Surface((right - left, high - low))
    draw(surface, [(x - left, y - low) for x, y in points])
    pixels = pygame.surfarray.array3d(surface).transpose(1, 0, 2)[::-1]
    mask: np.ndarray = np.asarray(pixels.any(2))
    mixed = int(np.count_nonzero(mask & (color_indices(pixels, COLORS) == EDGE)))
    window = (left, FIELD[3] - high, mask.shape[1], mask.shape[0])
    return Claim(category, window, (*colors, EDGE), mixed, shape=mask)


def _body(surface: Any, corners: Points) -> None:
    """Draw lander or leg: filled, with an antialiased edge, and a rim around it."""
    import pygame
    from pygame import gfxdraw

    pygame.draw.polygon(surface, COLORS[HULL], corners)
    gfxdraw.aapolygon(surface, corners, COLORS[HULL])
    pygame.draw.aalines(surface, COLORS[RIM], True, corners)


def _flag(surface: Any, points: Points) -> None:
    """Draw a pole, from its foot to its top, and a pennant with an antialiased edge."""
    import pygame
    from pygame import gfxdraw

    foot, *pennant = points
    pygame.draw.line(surface, COLORS[WHITE], foot, pennant[0])
    pygame.draw.polygon(surface, COLORS[YELLOW], pennant)
    gfxdraw.aapolygon(surface, pennant, COLORS[YELLOW])


def _spark(surface: Any, points: Points) -> None:
    """Draw a disk of 2 px in a color of its own, not antialiased."""
    import pygame

    (x, y), *_ = points
    pygame.draw.circle(surface, COLORS[WHITE], (x, y), 2.0)


@functools.lru_cache(maxsize=64)
def _ground(heights: tuple[float, ...]) -> Claim:
    """Claim the rest of a white surface below the polygons of the sky."""

    def draw(surface: Any, points: Points) -> None:
        import pygame
        from pygame import gfxdraw

        surface.fill(COLORS[WHITE])
        for left, right in itertools.pairwise(points[1:]):
            sky = [left, right, (right[0], FIELD[3]), (left[0], FIELD[3])]
            pygame.draw.polygon(surface, COLORS[SKY], sky)
            gfxdraw.aapolygon(surface, sky, COLORS[SKY])

    points = [(0.0, 0.0), *((60.0 * i, height) for i, height in enumerate(heights))]
    return _drawn("ground", (WHITE,), points, draw)


@functools.lru_cache(maxsize=8)
def _flags(left: float, right: float, y: float) -> tuple[Claim, ...]:
    corners = [[(x, y), (x, y + 50), (x, y + 40), (x + 25, y + 45)] for x in (left, right)]
    return tuple(_drawn("flag", (WHITE, YELLOW), points, _flag) for points in corners)


def claims(state: np.ndarray) -> list[Claim]:
    """Claim flags, legs, lander, sparks and ground, front to back."""
    claimed = [*_flags(*state[PADS : PADS + 3].tolist())]
    for category, (start, end) in zip(("leg", "leg", "lander"), reversed(BODIES), strict=True):
        claimed.append(
            _drawn(category, (HULL, RIM), [*zip(*[iter(state[start:end].tolist())] * 2, strict=True)], _body)
        )
    for x, y in state[SPARKS:].reshape(-1, 2)[::-1].tolist():
        claimed.append(_drawn("spark", (), [(x, y), (x + 2, y + 2), (x - 2, y - 2)], _spark))
    return [*claimed, _ground(tuple(state[RIDGE:SPARKS].tolist()))]


def slots(state: np.ndarray) -> Slots:
    """Read center [px, y downwards], angle [degrees, to the left], height over the pad [px], contact of the legs."""
    return {
        "lander_x": float(state[X]),
        "lander_y": float(FIELD[3] - state[Y]),
        "angle": float(np.degrees(state[TURN])),
        "height": float(state[Y] - state[PAD_Y] - LEG_HEIGHT),
        "left_leg_down": float(state[CONTACTS]),
        "right_leg_down": float(state[CONTACTS + 1]),
    }


def event(before: Slots, after: Slots) -> str:
    """Report a leg that touches or leaves the ground."""
    legs = [slots["left_leg_down"] + slots["right_leg_down"] for slots in (before, after)]
    return "a leg came down" if legs[1] > legs[0] else ("a leg left the ground" if legs[1] < legs[0] else "")


def _rounded(velocity: float) -> float:
    """Round a velocity to integer pixels a frame: anything slower than half a pixel counts as no motion."""
    return velocity if np.isnan(velocity) else round(velocity)


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe position, tilt and legs of the lander; and its direction and the last event.

    A lander out of sight has no other facts.
    """
    if not visible["lander"]:
        return {"lander": "out of sight", "event": event or NO_EVENT}
    return {
        "lander": position(slots["lander_x"], slots["lander_y"], FIELD),
        "lean": third(slots["angle"], -15, 30, ("tilted to the right", "upright", "tilted to the left")),
        "legs": ("no leg", "one leg", "both legs")[int(slots["left_leg_down"] + slots["right_leg_down"])],
        "motion": direction(*(_rounded(slots[f"lander_{axis}_velocity"]) for axis in "xy")),
        "event": event or NO_EVENT,
    }


GAME = Game(
    categories=("lander", "leg", "flag", "ground", "spark"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={
        "lander_x": (0, 600),
        "lander_y": (0, 400),
        "angle": (-90, 90),
        "height": (-100, 300),
        "left_leg_down": (0, 1),
        "right_leg_down": (0, 1),
    },
    moving=("lander_x", "lander_y", "angle"),
    event=event,
    facts=facts,
    phrases={
        "lander": ("the lander is {}", "lander {}", "we see the lander {}", "a violet craft flies {}", "our craft {}"),
        "lean": ("it is {}", "craft {}", "we see it {}", "the craft is {}", "its body is {}"),
        "legs": (
            "it stands on {}",
            "standing on {}",
            "we see it stand on {}",
            "the ground holds {}",
            "its weight is on {}",
        ),
    },
    history={
        "motion": ("it flies {}", "going {}", "we see it move {}", "the craft heads {}", "it moves {}"),
        "event": ("last was that {}", "before {}", "we saw that {}", "the last event was that {}", "last {}"),
    },
    state=state,
    screen=screen,
    image=image,
)
