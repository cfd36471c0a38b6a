"""CartPole: polygons from position and angle, as the environment draws them itself (600 x 400 px, 125 px per unit)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.captions import Facts, horizontal_position, third
from envs.ground_truth.objects import Claim, Game, Slots, Visible
from envs.ground_truth.rendering import color_indices, polygon, rendered_image

FIELD = (0, 0, 600, 400)
SCALE, TRACK = 125.0, 299.0  # pixels per unit; the line of the track, through the center of the cart
COLORS = ((255, 255, 255), (0, 0, 0), (202, 152, 101), (129, 132, 203))
WHITE, BLACK, WOOD, BLUE = range(4)
MAX_ANGLE = 0.2095  # at which an episode ends [radians from upright]


def state(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return position [units], velocity, angle [radians, to the right] and its velocity: (4,) float64."""
    values: np.ndarray = env.unwrapped.state  # type: ignore[attr-defined]
    return values


def screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the screen: (400, 600) uint8 color indices."""
    return color_indices(rendered_image(env), COLORS)


def background(state: np.ndarray) -> int:
    """Return white."""
    return WHITE


def claims(state: np.ndarray) -> list[Claim]:
    """Claim axle, pole of 10 x 125 px, cart of 50 x 30 px, and the track through the center of the cart."""
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
    """Read the center of the cart [px] and the angle [degrees, to the right]."""
    return {"cart_x": float(300 + SCALE * state[0]), "pole_angle": float(np.degrees(state[2]))}


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe the position of the cart and the lean of the pole."""
    max_degrees = np.degrees(MAX_ANGLE)
    return {
        "cart": horizontal_position(slots["cart_x"], FIELD),
        "pole": third(slots["pole_angle"], -max_degrees, 2 * max_degrees, ("to the left", "nowhere", "to the right")),
    }


GAME = Game(
    categories=("cart", "pole", "axle", "track"),
    field=FIELD,
    background=background,
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
    image=rendered_image,
)
