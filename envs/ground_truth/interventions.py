"""What if the ball were elsewhere: write slots into an Atari game's RAM, step once, read the truth of that frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from envs.ground_truth.objects import emulator
from envs.ground_truth.state_reader import Tracker

NOOP = 0


def intervene(env: gym.Env[Any, Any], tracker: Tracker, slots: Mapping[str, float]) -> None:
    """Write slots, then let the game draw one frame without action; `tracker` reads before and after it.

    The game goes on from there; what it makes of the written values (a ball moves on, a paddle follows its joystick)
    is what the tracker then reads. Raises: ValueError for a slot that cannot be written.
    """
    ale, writes = emulator(env), tracker.game.writes
    for name, value in slots.items():
        if name not in writes:
            raise ValueError(f"slot {name!r} cannot be written; these can: {', '.join(sorted(writes)) or 'none'}")
        for address, byte in writes[name](value).items():
            ale.setRAM(address, min(max(byte, 0), 255))
    tracker.read(env)
    event = tracker.event
    ale.act(NOOP)
    tracker.read(env)
    tracker.event = event  # a written score is not a goal


class Aside:
    """An excursion: on leaving, game and tracker go on where they were, as if nothing had been done.

    An emulator's state holds no screen: that of the excursion stays until the next step draws a new one.
    """

    def __init__(self, env: gym.Env[Any, Any], tracker: Tracker) -> None:
        self.ale, self.tracker = emulator(env), tracker

    def __enter__(self) -> None:
        self._kept = self.ale.cloneState(include_rng=True), self.tracker.slots, self.tracker.event

    def __exit__(self, *error: object) -> None:
        state, self.tracker.slots, self.tracker.event = self._kept
        self.ale.restoreState(state)
