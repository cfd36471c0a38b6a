"""Slots through time: velocities from two reads, and what happened last."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.objects import Game, Scene, Slots
from envs.ground_truth.verify import prove

FASTEST = 8.0  # velocities are scaled by this when they become observations [px/frame]


class Tracker:
    """Reads a world frame by frame.

    `read` must see every frame: a velocity is the difference of two reads. `scene` proves the frame read last.
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self.slots: Slots = {}
        self.event = ""

    def reset(self, env: gym.Env[Any, Any]) -> Slots:
        """Begin an episode: nothing moves yet and nothing has happened."""
        self.slots, self.event = {}, ""
        return self.read(env)

    def read(self, env: gym.Env[Any, Any]) -> Slots:
        """The slots of the present frame. A velocity is NaN where one of the two positions is."""
        before, after = self.slots, self.game.slots(self.game.state(env))
        after |= velocities(self.game, before, after)
        if before:
            self.event = self.game.event(before, after) or self.event
        self.slots = after
        return after

    def scene(self, env: gym.Env[Any, Any]) -> Scene:
        """The frame read last, proven against its pixels."""
        screen = self.game.screen(env)  # before the state: drawing may change what is left of it
        objects, problem = prove(self.game, self.game.state(env), screen)
        return Scene(objects, self.slots, self.event, problem)


def velocities(game: Game, before: Slots, after: Slots, frames: int = 1) -> Slots:
    """How far things moved between two reads [px/frame]; NaN where one of the two positions is."""
    return {f"{name}_velocity": (after[name] - before.get(name, np.nan)) / frames for name in game.moving}


def shown(game: Game) -> list[str]:
    """The slots that an agent observes: all but scores.

    What to do does not hang on a score, but an agent would learn that it does: it grows steadily through a game, and an
    agent that plays better than before meets scores it has never seen.
    """
    return [name for name in game.ranges if not name.endswith("score")]


def vector_names(game: Game) -> list[str]:
    """What the entries of `vector` mean."""
    return [*shown(game), *(f"{name}_velocity" for name in game.moving)]


def vector(game: Game, slots: Slots) -> np.ndarray:
    """Slots as (D,) float32 in [-1, 1], in the order of `vector_names`; what is not there is 0."""
    ranges = [(name, *game.ranges[name]) for name in shown(game)]
    scaled = [2.0 * (slots[name] - low) / (high - low) - 1.0 for name, low, high in ranges]
    scaled += [slots[f"{name}_velocity"] / FASTEST for name in game.moving]
    return np.clip(np.nan_to_num(np.array(scaled, dtype=np.float32)), -1.0, 1.0)
