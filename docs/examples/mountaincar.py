"""MountainCar: from its position to polygons, as its own `render` draws them (600 x 400 px, y upwards in its units).

An example of ground truth for one more environment. It belongs in envs/ground_truth/games/, where it is found by its
name: the short name of the environment in lower case.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image, ImageDraw

from envs.ground_truth.captions import Facts, third
from envs.ground_truth.objects import Claim, Game, Slots, Visible
from envs.ground_truth.rendering import EDGE, color_indices, dilated, polygon, rendered_image

FIELD = (0, 0, 600, 400)
BOTTOM = 399  # the lowest row of pixels
LEFT, RIGHT, GOAL = -1.2, 0.6, 0.5  # positions [units]
SCALE = 600 / (RIGHT - LEFT)  # pixels per unit
COLORS = ((255, 255, 255), (0, 0, 0), (128, 128, 128), (204, 204, 0))
WHITE, BLACK, GRAY, YELLOW = range(4)
CLEARANCE, WHEEL = 10, 8  # of the car above the track, radius [px]


def state(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return position [units] and velocity: (2,) float64."""
    return np.array(env.unwrapped.state, np.float64)  # type: ignore[attr-defined]


def screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return (400, 600) uint8 color indices."""
    return color_indices(rendered_image(env), COLORS)


def background(state: np.ndarray) -> int:
    """Return the color index of the empty field."""
    return WHITE


def on_screen(position: float, up: float = 0.0) -> tuple[float, float]:
    """Return x, y on the screen [px] of the point `up` pixels above the track."""
    return (position - LEFT) * SCALE, BOTTOM - (np.sin(3 * position) * 0.45 + 0.55) * SCALE - up


def whole_pixel(x: float, y: float) -> tuple[int, int]:
    """Round as `render` does, which counts y from the bottom."""
    return int(x), BOTTOM - int(BOTTOM - y)


def track() -> Claim:
    """Return the line of the hills, of which the car hides a part; its smooth edges have any gray.

    `missing` as large as the shape would prove nothing, so `min_pixels` asks for the pixels that the car never hides.
    """
    canvas = Image.new("1", FIELD[2:])
    ImageDraw.Draw(canvas).line([on_screen(x) for x in np.linspace(LEFT, RIGHT, 100)], fill=1)
    shape = dilated(dilated(np.array(canvas, dtype=bool)))
    return Claim("track", FIELD, (BLACK, GRAY, EDGE), missing=int(shape.sum()), min_pixels=400, shape=shape)


def claims(state: np.ndarray) -> list[Claim]:
    """Flag, its pole, two wheels and the car, which is turned by the cosine as `render` does, and the track."""
    x, y = on_screen(state[0], CLEARANCE)
    turn = np.cos(3 * state[0])
    along, up = np.array((np.cos(turn), -np.sin(turn))), np.array((-np.sin(turn), -np.cos(turn)))
    middle = np.array((x, y))
    corners = ((-20, 0), (-20, 20), (20, 20), (20, 0))
    car = [whole_pixel(*(middle + side * along + height * up)) for side, height in corners]
    circle = [WHEEL * np.array((np.cos(angle), np.sin(angle))) for angle in np.linspace(0, 2 * np.pi, 25)]
    centers = [whole_pixel(*(middle + side * along)) for side in (-10, 10)]
    wheels = [[(x + dx, y + dy) for dx, dy in circle] for x, y in centers]
    pole_x, pole_y = whole_pixel(*on_screen(GOAL))
    flag = [(pole_x, pole_y - 50), (pole_x, pole_y - 40), (pole_x + 25, pole_y - 45)]
    return [
        polygon("flag", YELLOW, flag),
        Claim("pole", (pole_x, pole_y - 50, 1, 51), (BLACK, EDGE), missing=2),
        *(polygon("wheel", GRAY, wheel) for wheel in wheels),
        replace(polygon("car", BLACK, car), colors=(BLACK, GRAY, EDGE)),  # its smooth edges have any gray
        track(),
    ]


def slots(state: np.ndarray) -> Slots:
    """Return the middle of the car [px]."""
    return {"car_x": float(on_screen(state[0])[0])}


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Return where the car stands."""
    return {"car": third(slots["car_x"], 0, 600, ("on the left hill", "in the valley", "on the right hill"))}


GAME = Game(
    categories=("flag", "pole", "wheel", "car", "track"),
    field=FIELD,
    background=background,
    claims=claims,
    slots=slots,
    ranges={"car_x": (0, 600)},
    moving=("car_x",),
    facts=facts,
    phrases={
        "car": ("the car is {}", "car {}", "we see the car {}", "a black car stands {}", "our car {}"),
    },
    state=state,
    screen=screen,
    image=rendered_image,
)
