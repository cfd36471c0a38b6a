"""CartPole: from positions and angle to polygons, as its own `render` draws them (600 x 400 px, 125 px per unit)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.captions import Facts, third, width
from envs.ground_truth.objects import Claim, Game, Slots, Visible, rendered
from envs.ground_truth.shapes import numbered, polygon

FIELD = (0, 0, 600, 400)
SCALE, TRACK = 125.0, 299.0  # pixels per unit; the line of the track, which is the middle of the cart
COLOURS = ((255, 255, 255), (0, 0, 0), (202, 152, 101), (129, 132, 203))
WHITE, BLACK, WOOD, BLUE = range(4)
FALLS_AT = 0.2095  # radians from upright


def state(env: gym.Env[Any, Any]) -> np.ndarray:
    """Position [units], velocity, angle [radians, to the right], its velocity: (4,) float64."""
    found: np.ndarray = env.unwrapped.state  # type: ignore[attr-defined]
    return found


def screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """(400, 600) uint8 colour numbers."""
    return numbered(rendered(env), COLOURS)


def ground(state: np.ndarray) -> int:
    """Paper."""
    return WHITE


def claims(state: np.ndarray) -> list[Claim]:
    """Axle, pole of 10 x 125 px, cart of 50 x 30 px, and the track through its middle."""
    x, angle = 300 + SCALE * state[0], state[2]
    axle = (int(x), TRACK - 7)
    circle = [(axle[0] + 5 * np.cos(turn), axle[1] + 5 * np.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 25)]
    along, across = np.array((np.sin(angle), -np.cos(angle))), np.array((np.cos(angle), np.sin(angle)))
    foot = np.array((x, TRACK - 7.5))
    ends = [(-5, -5), (120, -5), (120, 5), (-5, 5)]
    pole = [tuple(foot + up * along + side * across) for up, side in ends]
    cart = [(x - 25, TRACK - 15), (x + 25, TRACK - 15), (x + 25, TRACK + 15), (x - 25, TRACK + 15)]
    return [
        polygon("axle", BLUE, circle),
        polygon("pole", WOOD, pole),
        polygon("cart", BLACK, cart),
        Claim("track", (0, int(TRACK), 600, 1), (BLACK,)),
    ]


def slots(state: np.ndarray) -> Slots:
    """Middle of the cart [px], angle [degrees, to the right]."""
    return {"cart_x": float(300 + SCALE * state[0]), "pole_angle": float(np.degrees(state[2]))}


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Where the cart is, and where the pole leans."""
    bend = np.degrees(FALLS_AT)
    return {
        "cart": width(slots["cart_x"], FIELD),
        "pole": third(slots["pole_angle"], -bend, 2 * bend, ("to the left", "nowhere", "to the right")),
    }


GAME = Game(
    categories=("cart", "pole", "axle", "track"),
    field=FIELD,
    ground=ground,
    claims=claims,
    slots=slots,
    ranges={"cart_x": (0, 600), "pole_angle": (-24, 24)},
    moving=("cart_x", "pole_angle"),
    facts=facts,
    phrases={
        "cart": ("the cart is {}", "cart {}", "we see the cart {}", "a black cart stands {}", "our cart {}"),
        "pole": ("the pole leans {}", "pole {}", "we see the pole lean {}", "a wooden pole leans {}", "it leans {}"),
    },
    state=state,
    screen=screen,
    picture=rendered,
)
