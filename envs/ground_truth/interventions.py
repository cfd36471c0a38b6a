"""Interventions on Atari games: write slots into RAM, emulate one frame, and read the ground truth of that frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym

from envs.ground_truth.emulator import ale_interface
from envs.ground_truth.state_reader import StateReader

NOOP = 0


def intervene(env: gym.Env[Any, Any], reader: StateReader, slots: Mapping[str, float]) -> None:
    """Write slots, then emulate one frame without action; `reader` reads before and after it.

    The game goes on from the written values (a ball moves on, a paddle follows its joystick), and the reader reads the
    result. Raises: ValueError for a slot that cannot be written.
    """
    ale, writes = ale_interface(env), reader.game.writes
    for name, value in slots.items():
        if name not in writes:
            raise ValueError(f"slot {name!r} cannot be written; these can: {', '.join(sorted(writes)) or 'none'}")
        for address, byte in writes[name](value).items():
            ale.setRAM(address, min(max(byte, 0), 255))
    reader.read(env)
    event = reader.event
    ale.act(NOOP)
    reader.read(env)
    reader.event = event  # a written score is not a point


@contextlib.contextmanager
def restore_state(env: gym.Env[Any, Any], reader: StateReader) -> Iterator[None]:
    """Restore emulator and reader on leaving the context, as if nothing had happened inside it.

    The state of an emulator holds no screen: the last screen of the context stays until the next step draws a new one.
    """
    ale = ale_interface(env)
    state, slots, event = ale.cloneState(include_rng=True), reader.slots, reader.event
    try:
        yield
    finally:
        reader.slots, reader.event = slots, event
        ale.restoreState(state)
