"""An actor of Ray, in a process of Ray's on any machine; imports no Ray, whose decorator `RayActors` applies."""

from __future__ import annotations

import io
import os
import pickle
import sys
import time
import traceback
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents.training.metadata import RunSpec
from agents.training.rollout_actor import Actor, Order, Recipe, Start
from agents.training.rollout_weights import NEWEST, load, tensors_of
from rl_gen_lab.cli.errors import UserError

Published = tuple[int, int, np.ndarray]  # publication, version, flat weights


class Unpickler(pickle.Unpickler):
    """Finds the settings' class in a process that runs another command than the one that pickled them."""

    def __init__(self, pickled: bytes, command: str) -> None:
        """command: name of the module that ran there, for instance agents.ppo."""
        super().__init__(io.BytesIO(pickled))
        self._command = command

    def find_class(self, module: str, name: str) -> Any:
        """Return a class by its name; `__main__` is the command's module."""
        return super().find_class(self._command if module == "__main__" else module, name)


def command_here() -> str:
    """Return the name of the module that this process runs; `__main__` for a script."""
    return getattr(sys.modules["__main__"].__spec__, "name", "__main__")


class RayWorker:
    """Plays chunks. Ray calls `begin` and `play` in order, and `publish` meanwhile, in a thread of its own."""

    def __init__(self, pickled: bytes, command: str, number: int) -> None:
        """pickled: `Recipe` of the first actor; command: the module that its learner runs; number: of this one."""
        self._newest: Published | None = None
        self._failed = ""
        self._waiting_since = time.perf_counter()
        try:
            recipe: Recipe = Unpickler(pickled, command).load()
            torch.set_num_threads(recipe.spec.config.device.threads)
            spec = RunSpec.resolve(recipe.spec.algo, recipe.spec.config)  # registers environments that are made by name
            self._actor = Actor(replace(recipe.of_actor(number), spec=spec))
            self._tensors = tensors_of(recipe.network)
            self._block = bytearray(self._actor.layout.size_bytes)
            self._arrays = self._actor.layout.arrays(self._block)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Keep what to say instead of a chunk: as text, for another machine may not know the error's class."""
        self._failed = str(error) if isinstance(error, UserError) else traceback.format_exc()

    def begin(self, start: Start) -> None:
        """Begin or repeat games up to a step, and go on from there."""
        if self._failed:
            return
        try:
            self._actor.begin(start)
        except Exception as error:
            self._fail(error)

    def publish(self, publication: int, version: int, flat: np.ndarray) -> None:
        """Take in weights that a chunk by the newest ones may be played by."""
        if self._newest is None or publication > self._newest[0]:
            self._newest = publication, version, flat

    def play(self, order: Order, publication: int, version: int, flat: np.ndarray) -> np.ndarray | str:
        """Play a chunk by these weights, or by newer ones where those are ordered.

        Returns the used bytes of the chunk, or the text of an error.
        """
        waited, newest = time.perf_counter() - self._waiting_since, self._newest
        if not self._failed:
            try:
                if order.publication == NEWEST and newest is not None and newest[0] > publication:
                    _, version, flat = newest
                load(self._tensors, flat)
                self._actor.play(self._arrays, order, version, waited)
            except Exception as error:
                self._fail(error)
        if self._failed:
            return self._failed
        used = self._actor.layout.used_bytes(self._arrays)
        chunk = np.frombuffer(self._block, np.uint8, used).copy()  # Ray reads it when the next may be under way
        self._waiting_since = time.perf_counter()
        return chunk

    def pid(self) -> int:
        """Return the number of this process on its machine."""
        return os.getpid()
