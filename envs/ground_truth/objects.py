"""The words of the truth: what a world's state claims about a frame, and what its pixels prove."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

Box = tuple[int, int, int, int]  # x, y, width, height [pixels of the native screen], x and y of the upper left corner
Slots = dict[str, float]  # NaN where there is nothing to say: no ball, no velocity yet
Visible = Counter[str]  # how many objects of each category a frame shows
# Boxes that somebody found in a picture, by category, the surest first: x, y, width, height [px].
Seen = Mapping[str, Sequence[tuple[float, float, float, float]]]


class NoPictureError(ValueError):
    """A world was made without pictures, and its truth needs them; the message says how to make it."""


@dataclass(frozen=True)
class Claim:
    """What the state says about one object, before the pixels are asked.

    window: where it is drawn, if at all; may reach outside the field. colours: the palette indices it is drawn in.
    missing: how many pixels of the visible part of the window may show something else. A solid sprite has none, one
    with a shape has those around it. most: how many pixels it has at most, where the window does not say; least: how
    many are always in sight, whatever is in front of it.
    inside: (h, w) bool of the window, the only pixels that may be its own, where its shape is known; None: all of them.
    """

    category: str
    window: Box
    colours: tuple[int, ...]
    missing: int = 0
    most: int | None = None
    least: int = 0
    inside: np.ndarray | None = None


@dataclass(frozen=True)
class Object:
    """A proven object. box: the tightest around its visible pixels; mask: (h, w) bool, those pixels inside the box."""

    category: str
    box: Box
    mask: np.ndarray


@dataclass(frozen=True)
class Scene:
    """One frame: its objects, its slots, and why the proof failed (None: it holds).

    Objects of a frame that failed are those found before the failure: not to be learned from.
    event: the last thing that happened in this episode ("" before the first).
    """

    objects: tuple[Object, ...]
    slots: Slots
    event: str
    problem: str | None

    @property
    def visible(self) -> Visible:
        """How many objects of each category are seen; 0 of those that are not."""
        return Counter(thing.category for thing in self.objects)


@dataclass(frozen=True)
class Told:
    """What a player knows without looking: points won and lost in this game so far, lives left (NaN: none are told)."""

    won: float
    lost: float
    lives: float


def emulator(env: gym.Env[Any, Any]) -> Any:
    """The ALE interface below an Atari world."""
    return env.unwrapped.ale  # type: ignore[attr-defined]


def ram(env: gym.Env[Any, Any]) -> np.ndarray:
    """RAM of an Atari game: (128,) int64, because positions are differences of bytes and must not wrap around."""
    found: np.ndarray = emulator(env).getRAM().astype(np.int64)
    return found


def palette_screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """Screen of an Atari game: (H, W) uint8 palette indices, of the same frame as the RAM."""
    screen: np.ndarray = emulator(env).getScreen()
    return screen


def rgb_picture(env: gym.Env[Any, Any]) -> np.ndarray:
    """Picture of an Atari game: (H, W, 3) uint8 RGB, of the same frame as the RAM."""
    picture: np.ndarray = emulator(env).getScreenRGB()
    return picture


def can_draw(env: gym.Env[Any, Any]) -> None:
    """Nothing, for a world that draws its picture when asked. Raises: NoPictureError."""
    if env.render_mode != "rgb_array":
        name = env.spec.id if env.spec is not None else "this world"
        raise NoPictureError(f'{name} draws no picture: make it with gym.make("{name}", render_mode="rgb_array")')


def rendered(env: gym.Env[Any, Any]) -> np.ndarray:
    """Picture of a world that is drawn, not emulated: (H, W, 3) uint8 RGB. Raises: NoPictureError."""
    can_draw(env)
    return np.asarray(env.render())


def no_event(before: Slots, after: Slots) -> str:
    """For worlds where nothing happens but motion."""
    return ""


def no_facts(slots: Slots, event: str, visible: Visible) -> dict[str, str]:
    """For worlds without captions."""
    return {}


@dataclass(frozen=True)
class Game:
    """How to read one world: the only thing a file of `games/` defines.

    The field is the part of the screen that is explained to the last pixel (where worlds of a family differ in size, of
    the largest); what lies outside (score digits, walls in a sprite's colour) is not looked at. Every pixel of it that
    differs from the ground must belong to one claim.
    """

    categories: tuple[str, ...]
    field: Box
    # The empty field: one palette index, or (h, w) of the field, given the state.
    ground: Callable[[np.ndarray], Any]
    # What is visible, front to back: where two claims of one colour overlap, the first owns the pixels.
    claims: Callable[[np.ndarray], list[Claim]]
    # Positions, scores, lives, ... from the state.
    slots: Callable[[np.ndarray], Slots]
    # Smallest and largest value of every slot; `moving` ones get a velocity "<slot>_velocity" besides [per frame].
    ranges: Mapping[str, tuple[float, float]]
    moving: tuple[str, ...] = ()
    # What happened between two frames, from their slots; "" for nothing.
    event: Callable[[Slots, Slots], str] = no_event
    # Slots that can be written: for a value, bytes by RAM address.
    writes: Mapping[str, Callable[[float], dict[int, int]]] = dataclasses.field(default_factory=dict)
    # The same slots (without velocities) from boxes that somebody found in the field, from what is told, and from the
    # slots of the look before ({} at first); None: nobody wrote this yet.
    seen: Callable[[Seen, Told, Slots], Slots] | None = None
    # What there is to say about a frame: fact -> words, from its slots, the last event and what is visible, because
    # nothing is said of what is not seen; and how to say it. `history` is what one frame alone cannot show: motion, the
    # last event.
    facts: Callable[[Slots, str, Visible], dict[str, str]] = no_facts
    phrases: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    history: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    # State, screen (H, W) and picture (H, W, 3) uint8 RGB of the same instant.
    state: Callable[[gym.Env[Any, Any]], np.ndarray] = ram
    screen: Callable[[gym.Env[Any, Any]], np.ndarray] = palette_screen
    picture: Callable[[gym.Env[Any, Any]], np.ndarray] = rgb_picture
