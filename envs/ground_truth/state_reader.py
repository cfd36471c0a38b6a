"""Slots over time, read from the state of an environment: positions, velocities, events; and slots as observations."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.objects import Game, Scene, Slots
from envs.ground_truth.verify import prove

MAX_VELOCITY = 8.0  # scale of velocities in observations [px/frame]


class StateReader:
    """Reads the state of an environment frame by frame.

    `read` must see every frame: a velocity is the difference of two reads. `scene` proves the frame read last.
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self.slots: Slots = {}
        self.event = ""

    def reset(self, env: gym.Env[Any, Any]) -> Slots:
        """Begin an episode, without velocities and events."""
        self.slots, self.event = {}, ""
        return self.read(env)

    def read(self, env: gym.Env[Any, Any]) -> Slots:
        """Return the slots of the present frame. A velocity is NaN where one of its two positions is."""
        before, after = self.slots, self.game.slots(self.game.state(env))
        after |= velocities(self.game, before, after)
        if before:
            self.event = self.game.event(before, after) or self.event
        self.slots = after
        return after

    def scene(self, env: gym.Env[Any, Any]) -> Scene:
        """Return the frame read last, proven against its pixels."""
        screen = self.game.screen(env)  # before the state: rendering may change what is left of it
        objects, problem = prove(self.game, self.game.state(env), screen)
        return Scene(objects, self.slots, self.event, problem)


def velocities(game: Game, before: Slots, after: Slots, frames: int = 1) -> Slots:
    """Return the velocities of moving slots between two reads [px/frame]; NaN where one of the two positions is."""
    return {f"{name}_velocity": (after[name] - before.get(name, np.nan)) / frames for name in game.moving}


def observed_slots(game: Game) -> list[str]:
    """Return the slots that an agent observes: all but scores.

    The best action does not depend on a score, but an agent would learn that it does: a score grows steadily through a
    game, and an agent that has become better meets scores that it has never seen.
    """
    return [name for name in game.ranges if not name.endswith("score")]


def observation_names(game: Game) -> list[str]:
    """Return the meaning of the entries of `observation_vector`."""
    return [*observed_slots(game), *(f"{name}_velocity" for name in game.moving)]


def observation_vector(game: Game, slots: Slots) -> np.ndarray:
    """Scale slots to (D,) float32 in [-1, 1], in the order of `observation_names`; NaN becomes 0."""
    ranges = [(name, *game.ranges[name]) for name in observed_slots(game)]
    scaled = [2.0 * (slots[name] - low) / (high - low) - 1.0 for name, low, high in ranges]
    scaled += [slots[f"{name}_velocity"] / MAX_VELOCITY for name in game.moving]
    return np.clip(np.nan_to_num(np.array(scaled, dtype=np.float32)), -1.0, 1.0)
