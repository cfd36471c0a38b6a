"""LunarLander: Box2D's polygons, drawn once more as its own `render` draws them (600 x 400 px, 30 px per unit).

What a polygon touches when it is drawn alone is its mask; the picture must show exactly these pixels. Sparks are drawn
too, but every `render` lets them fade, so the picture of a frame is drawn once and kept.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.captions import Facts, direction, place, third
from envs.ground_truth.objects import Claim, Game, Slots, Visible, rendered
from envs.ground_truth.shapes import EDGE, numbered

FIELD = (0, 0, 600, 400)
SCALE = 30.0  # pixels per unit
COLOURS = ((0, 0, 0), (255, 255, 255), (128, 102, 230), (77, 77, 128), (204, 204, 0))
SKY, WHITE, HULL, RIM, YELLOW = range(5)
BODIES = ((0, 12), (12, 20), (20, 28))  # where the corners of lander and legs stand in the state
X, Y, TURN, CONTACTS, PADS, PAD_Y, RIDGE, SPARKS = 28, 29, 30, 31, 33, 35, 36, 47  # places in the state
LEG_DOWN = 18  # px from the middle to where it stands
Points = Sequence[tuple[float, float]]

_pictures: weakref.WeakKeyDictionary[gym.Env[Any, Any], tuple[bytes, np.ndarray]] = weakref.WeakKeyDictionary()


def state(env: gym.Env[Any, Any]) -> np.ndarray:
    """What is drawn, (47 + 2 for each spark,) float64 [px, y upwards].

    Corners of lander and legs, middle and angle [radians] of the lander, which legs have contact, places of the flags
    and their height, heights of the ground, middles of the sparks.
    """
    world: Any = env.unwrapped
    corners = [body.transform * v * SCALE for body in world.drawlist for v in body.fixtures[0].shape.vertices]
    lander = world.lander
    heights = [poly[0][1] * SCALE for poly in world.sky_polys] + [world.sky_polys[-1][1][1] * SCALE]
    found = [value for corner in corners for value in corner]
    found += [lander.position[0] * SCALE, lander.position[1] * SCALE, lander.angle]
    found += [float(leg.ground_contact) for leg in world.legs]
    found += [world.helipad_x1 * SCALE, world.helipad_x2 * SCALE, world.helipad_y * SCALE, *heights]
    found += [value * SCALE for spark in world.particles for value in spark.position]
    return np.array(found, dtype=np.float64)


def picture(env: gym.Env[Any, Any]) -> np.ndarray:
    """(400, 600, 3) uint8 RGB, drawn once a frame."""
    world = env.unwrapped
    drawn = _pictures.get(world)
    if drawn is None or drawn[0] != state(env).tobytes():
        found = rendered(env).copy()
        drawn = state(env).tobytes(), found  # of the sparks that are left
        _pictures[world] = drawn
    return drawn[1]


def screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """(400, 600) uint8 colour numbers; sparks and smooth edges are EDGE."""
    return numbered(picture(env), COLOURS)


def ground(state: np.ndarray) -> int:
    """Night."""
    return SKY


def _drawn(category: str, colours: tuple[int, ...], points: Points, draw: Callable[[Any, Points], None]) -> Claim:
    """What `draw` changes on a black surface, as a claim; points: all corners, x, y upwards [px].

    Where it is mixed with what lies behind, it may be too faint to tell; everywhere else it must be seen.
    """
    import pygame

    # Moved by whole pixels and cut at the edges of the screen, where lines are drawn otherwise.
    left, low = (max(int(min(values)) - 3, 0) for values in zip(*points, strict=True))
    right, high = (
        min(int(max(values)) + 4, end) for values, end in zip(zip(*points, strict=True), FIELD[2:], strict=True)
    )
    if right <= left or high <= low:
        return Claim(category, (0, 0, 0, 0), colours)
    surface = pygame.Surface((right - left, high - low))
    draw(surface, [(x - left, y - low) for x, y in points])
    pixels = pygame.surfarray.array3d(surface).transpose(1, 0, 2)[::-1]
    mask: np.ndarray = np.asarray(pixels.any(2))
    mixed = int(np.count_nonzero(mask & (numbered(pixels, COLOURS) == EDGE)))
    window = (left, FIELD[3] - high, mask.shape[1], mask.shape[0])
    return Claim(category, window, (*colours, EDGE), mixed, inside=mask)


def _body(surface: Any, corners: Points) -> None:
    """Lander or leg: filled, with a smooth edge, and a rim around it."""
    import pygame
    from pygame import gfxdraw

    pygame.draw.polygon(surface, COLOURS[HULL], corners)
    gfxdraw.aapolygon(surface, corners, COLOURS[HULL])
    pygame.draw.aalines(surface, COLOURS[RIM], True, corners)


def _flag(surface: Any, points: Points) -> None:
    """A pole, from its foot to its top, and a pennant with a smooth edge."""
    import pygame
    from pygame import gfxdraw

    foot, *pennant = points
    pygame.draw.line(surface, COLOURS[WHITE], foot, pennant[0])
    pygame.draw.polygon(surface, COLOURS[YELLOW], pennant)
    gfxdraw.aapolygon(surface, pennant, COLOURS[YELLOW])


def _spark(surface: Any, points: Points) -> None:
    """A disc of 2 px; its colour is none of the others', and mixed with nothing."""
    import pygame

    (x, y), *_ = points
    pygame.draw.circle(surface, COLOURS[WHITE], (x, y), 2.0)


@functools.lru_cache(maxsize=64)
def _ground(heights: tuple[float, ...]) -> Claim:
    """What the polygons of the sky leave of a white surface."""

    def draw(surface: Any, points: Points) -> None:
        import pygame
        from pygame import gfxdraw

        surface.fill(COLOURS[WHITE])
        for one, other in itertools.pairwise(points[1:]):
            sky = [one, other, (other[0], FIELD[3]), (one[0], FIELD[3])]
            pygame.draw.polygon(surface, COLOURS[SKY], sky)
            gfxdraw.aapolygon(surface, sky, COLOURS[SKY])

    points = [(0.0, 0.0), *((60.0 * i, height) for i, height in enumerate(heights))]
    return _drawn("ground", (WHITE,), points, draw)


@functools.lru_cache(maxsize=8)
def _flags(left: float, right: float, y: float) -> tuple[Claim, ...]:
    corners = [[(x, y), (x, y + 50), (x, y + 40), (x + 25, y + 45)] for x in (left, right)]
    return tuple(_drawn("flag", (WHITE, YELLOW), points, _flag) for points in corners)


def claims(state: np.ndarray) -> list[Claim]:
    """Flags, legs, lander, sparks, ground, front to back."""
    found = [*_flags(*state[PADS : PADS + 3].tolist())]
    for category, (start, end) in zip(("leg", "leg", "lander"), reversed(BODIES), strict=True):
        found.append(_drawn(category, (HULL, RIM), [*zip(*[iter(state[start:end].tolist())] * 2, strict=True)], _body))
    for x, y in state[SPARKS:].reshape(-1, 2)[::-1].tolist():
        found.append(_drawn("spark", (), [(x, y), (x + 2, y + 2), (x - 2, y - 2)], _spark))
    return [*found, _ground(tuple(state[RIDGE:SPARKS].tolist()))]


def slots(state: np.ndarray) -> Slots:
    """Middle [px, y downwards], angle [degrees, to the left], height over the pad [px], which legs stand."""
    return {
        "lander_x": float(state[X]),
        "lander_y": float(FIELD[3] - state[Y]),
        "angle": float(np.degrees(state[TURN])),
        "height": float(state[Y] - state[PAD_Y] - LEG_DOWN),
        "left_leg_down": float(state[CONTACTS]),
        "right_leg_down": float(state[CONTACTS + 1]),
    }


def event(before: Slots, after: Slots) -> str:
    """A leg that comes down or leaves the ground."""
    legs = [slots["left_leg_down"] + slots["right_leg_down"] for slots in (before, after)]
    return "a leg came down" if legs[1] > legs[0] else ("a leg left the ground" if legs[1] < legs[0] else "")


def _whole(velocity: float) -> float:
    """Half a pixel a frame is a motion, less is none."""
    return velocity if np.isnan(velocity) else round(velocity)


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Where the lander is, how it leans, how many legs stand; and where it flies, what happened last.

    Of a lander out of sight nothing else is told.
    """
    if not visible["lander"]:
        return {"lander": "out of sight", "event": event or "nothing yet"}
    return {
        "lander": place(slots["lander_x"], slots["lander_y"], FIELD),
        "lean": third(slots["angle"], -15, 30, ("tilted to the right", "upright", "tilted to the left")),
        "legs": ("no leg", "one leg", "both legs")[int(slots["left_leg_down"] + slots["right_leg_down"])],
        "motion": direction(*(_whole(slots[f"lander_{axis}_velocity"]) for axis in "xy")),
        "event": event or "nothing yet",
    }


GAME = Game(
    categories=("lander", "leg", "flag", "ground", "spark"),
    field=FIELD,
    ground=ground,
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
    picture=picture,
)
