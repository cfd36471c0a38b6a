"""Vocabulary of ground truth: what the state of an environment claims about a frame, and what its pixels prove."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth import emulator

Box = tuple[int, int, int, int]  # x, y, width, height [pixels of the native screen], x and y of the upper left corner
Slots = dict[str, float]  # named numbers of a frame; NaN where there is no value: no ball, no velocity yet
Visible = Counter[str]  # number of objects of each category in a frame
# Boxes that a detector reports for an image, by category, most confident first: x, y, width, height [px].
Detections = Mapping[str, Sequence[tuple[float, float, float, float]]]


@dataclass(frozen=True)
class Claim:
    """Claimed object of the state, before its pixels are checked.

    window: where it is drawn, if at all; may reach outside the field. colors: palette indices of its pixels.
    missing: number of pixels of the visible part of the window that may show something else: 0 for a solid sprite, the
    pixels around its shape for any other. max_pixels: upper bound on its pixels, where the window alone is too loose;
    min_pixels: pixels that are visible whatever stands in front of it.
    shape: (h, w) bool of the window, the only pixels that may belong to it, where its shape is known; None: all.
    """

    category: str
    window: Box
    colors: tuple[int, ...]
    missing: int = 0
    max_pixels: int | None = None
    min_pixels: int = 0
    shape: np.ndarray | None = None


@dataclass(frozen=True)
class Object:
    """A proven object. box: the tightest around its visible pixels; mask: (h, w) bool, those pixels inside the box."""

    category: str
    box: Box
    mask: np.ndarray


@dataclass(frozen=True)
class Scene:
    """One frame: its objects, its slots, and why the proof failed (None: it holds).

    Objects of a frame that failed are those proven before the failure: no labels to learn from.
    event: the last event of this episode ("" before the first).
    """

    objects: tuple[Object, ...]
    slots: Slots
    event: str
    problem: str | None

    @property
    def visible(self) -> Visible:
        """Number of visible objects of each category; 0 for absent ones."""
        return Counter(thing.category for thing in self.objects)


@dataclass(frozen=True)
class GameStatus:
    """Points won and lost in this game so far, lives left (NaN: not reported)."""

    won: float
    lost: float
    lives: float


def no_event(before: Slots, after: Slots) -> str:
    """Report no event, for environments with nothing but motion."""
    return ""


def no_facts(slots: Slots, event: str, visible: Visible) -> dict[str, str]:
    """Report no facts, for environments without captions."""
    return {}


@dataclass(frozen=True)
class Game:
    """Reader of one environment: the only thing that a file of `games/` defines.

    The field is the part of the screen that is explained to the last pixel (in a family of environments of several
    sizes, of the largest); what lies outside (score digits, walls in the color of a sprite) is ignored. Every pixel of
    the field that differs from the background must belong to one claim.
    """

    categories: tuple[str, ...]
    field: Box
    # The empty field: one palette index, or (h, w) of the field, given the state.
    background: Callable[[np.ndarray], Any]
    # Visible objects, front to back: where two claims of one color overlap, the first owns the pixels.
    claims: Callable[[np.ndarray], list[Claim]]
    # Positions, scores, lives, ... from the state.
    slots: Callable[[np.ndarray], Slots]
    # Smallest and largest value of every slot; `moving` ones also have a velocity "<slot>_velocity" [per frame].
    ranges: Mapping[str, tuple[float, float]]
    moving: tuple[str, ...] = ()
    # The event between two frames, from their slots; "" for none.
    event: Callable[[Slots, Slots], str] = no_event
    # Slots that can be written: for a value, bytes by RAM address.
    writes: Mapping[str, Callable[[float], dict[int, int]]] = dataclasses.field(default_factory=dict)
    # The same slots (without velocities) from the detections in the field, from the status of the game, and from the
    # slots of the previous detection ({} at first); None: not implemented for this game.
    slots_from_detections: Callable[[Detections, GameStatus, Slots], Slots] | None = None
    # The facts of a frame (fact -> words) from its slots, the last event and the visible objects, because nothing is
    # said of an object out of sight; and their phrases. `history` has the phrases of what a single frame cannot show:
    # motion, the last event.
    facts: Callable[[Slots, str, Visible], dict[str, str]] = no_facts
    phrases: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    history: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    # State, screen (H, W) and image (H, W, 3) uint8 RGB of the same instant.
    state: Callable[[gym.Env[Any, Any]], np.ndarray] = emulator.ram
    screen: Callable[[gym.Env[Any, Any]], np.ndarray] = emulator.palette_screen
    image: Callable[[gym.Env[Any, Any]], np.ndarray] = emulator.rgb_image

    @property
    def all_phrases(self) -> dict[str, Sequence[str]]:
        """`phrases` and `history` together."""
        return dict(self.phrases) | dict(self.history)
