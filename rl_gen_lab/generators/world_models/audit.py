"""How long dreams stay true: recorded play beside dreams from the same frames under the same actions.

Objects are read from the pixels of both by the same rules. Four controls stand beside the dream: its last true frame
repeated, objects that go on as fast as they were, the same model with a memory that was never trained, and the same
model under the actions of other games (a dream that can be controlled must get worse).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from rl_gen_lab.generators.world_models.interfaces import Imagined, WorldModel
from rl_gen_lab.generators.world_models.reading import ObjectReader
from rl_gen_lab.generators.world_models.sequences import SequenceSplit, Windows

HORIZONS = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60)
TRUE_STEPS = 32  # before a dream begins, for its memory
NEAR = 4.0  # pixels
TOLERANCE = 2  # steps by which a reward or an end may be told too early or too late
LOST_SHARE = 0.05  # of the dreams in which an object has vanished, up to which a horizon is usable
Places = dict[str, list[tuple[float, float]]]


@dataclass
class Errors:
    """Of an object at a horizon, over dreams. real: in how many it was there; vanished, doubled, invented: counted."""

    distances: list[float] = field(default_factory=list)
    real: int = 0
    vanished: int = 0
    doubled: int = 0
    invented: int = 0

    def add(self, real: list[tuple[float, float]], dreamed: list[tuple[float, float]]) -> None:
        """Compare where an object is."""
        if not real:
            self.invented += bool(dreamed)
            return
        self.real += 1
        self.doubled += len(dreamed) > len(real)
        if len(dreamed) < len(real):
            self.vanished += 1
        if dreamed:
            x, y = real[0]
            self.distances.append(min(((x - u) ** 2 + (y - v) ** 2) ** 0.5 for u, v in dreamed))

    def summary(self) -> dict[str, float]:
        """Return medians and shares."""
        known, there = sorted(self.distances), max(self.real, 1)
        if not known:
            return {"dreams": self.real, "vanished": self.vanished / there}
        return {
            "dreams": self.real,
            "median_px": median(known),
            "worst_tenth_px": known[int(0.9 * (len(known) - 1))],
            "near": sum(distance <= NEAR for distance in known) / there,
            "vanished": self.vanished / there,
            "doubled": self.doubled / there,
        }


class Audit:
    """Compares dreams of one model with what happened, in windows of `TRUE_STEPS` + horizon steps."""

    def __init__(self, model: WorldModel, reader: ObjectReader, split: SequenceSplit) -> None:
        """split: windows of held-out episodes."""
        self.model, self.reader, self.split = model, reader, split
        self.horizons = [horizon for horizon in HORIZONS if horizon <= split.steps - TRUE_STEPS]
        # where no object ever is, but not always the same: what the game writes, such as the score
        self.writing = ~reader.covered & (reader.free.sum(0) > 1)

    def run(
        self, count: int, batch: int, temperature: float, on_dream: Callable[[int], None] = lambda done: None
    ) -> dict[str, Any]:
        """Compare `count` dreams, evenly spaced, `batch` at a time; the result can be written as JSON."""
        chosen = self.split.evenly_spaced(count)
        untrained = untrained_memory(self.model)
        names = ("dream", "last frame repeated", "constant velocity", "untrained memory", "shuffled actions")
        errors: dict[str, dict[int, dict[str, Errors]]] = {
            name: {h: {c: Errors() for c in self.reader.categories} for h in self.horizons} for name in names
        }
        written = {name: dict.fromkeys(self.horizons, 0) for name in names}
        wrong = {name: dict.fromkeys(self.horizons, 0.0) for name in names}
        outcomes = np.zeros((2, 4))
        for first in range(0, len(chosen), batch):
            part = self.split.windows(chosen[first : first + batch])
            shuffled = self.split.windows(
                [chosen[(i + len(chosen) // 2 + 1) % len(chosen)] for i in range(first, first + len(part.frames))]
            )
            dreams = {
                "dream": dream(self.model, part, part.executed, temperature, first),
                "untrained memory": dream(untrained, part, part.executed, temperature, first),
                "shuffled actions": dream(self.model, part, shuffled.executed, temperature, first),
            }
            outcomes += self._outcomes(part, dreams["dream"])
            for row in range(len(part.frames)):
                last = self._true(part, row, 0)
                before, now = (self.reader.read(self._true(part, row, step)) for step in (-1, 0))
                for horizon in self.horizons:
                    real = self._true(part, row, horizon)
                    shown = {name: steps[horizon - 1].frames[row].numpy() for name, steps in dreams.items()}
                    shown["last frame repeated"] = last
                    truth = self.reader.read(real)
                    for name, frame in shown.items():
                        self._compare(errors[name][horizon], truth, self.reader.read(frame))
                        written[name][horizon] += bool((frame == real)[self.writing].all())
                        wrong[name][horizon] += float((frame != real).sum())
                    self._compare(errors["constant velocity"][horizon], truth, _extrapolated(before, now, horizon))
            on_dream(min(first + batch, len(chosen)))
        return {
            "dreams": len(chosen),
            "true_steps": TRUE_STEPS,
            "temperature": temperature,
            "usable_horizon": self._usable(errors["dream"]),
            "objects": {
                name: {str(h): {c: e.summary() for c, e in by_object.items()} for h, by_object in by_horizon.items()}
                for name, by_horizon in errors.items()
            },
            "writing_right": _shares(written, len(chosen)),
            "wrong_pixels": _shares(wrong, len(chosen)),
            "rewards": _told(outcomes[0]),
            "ends": _told(outcomes[1]),
        }

    def _true(self, part: Windows, row: int, step: int) -> np.ndarray:
        """Return the true frame of a window, so many steps after the last one that the dream was given."""
        return part.frames[row, self.split.context - 1 + TRUE_STEPS + step].numpy()

    @staticmethod
    def _compare(errors: dict[str, Errors], truth: Places, dreamed: Places) -> None:
        for name, error in errors.items():
            error.add(truth[name], dreamed[name])

    def _outcomes(self, part: Windows, steps: Sequence[Imagined]) -> np.ndarray:
        """Count events, those told within `TOLERANCE` steps, told ones, and false ones, of rewards and ends: (2, 4)."""
        later = slice(TRUE_STEPS, TRUE_STEPS + len(steps))
        dreamed = torch.stack([step.rewards for step in steps], 1).numpy()
        ends = torch.stack([step.ends for step in steps], 1).numpy() > 0.5
        pairs = (
            (part.rewards[:, later].numpy(), dreamed),
            (part.ends[:, later].numpy().astype(float), ends.astype(float)),
        )
        return np.array([_count_events(real, told) for real, told in pairs])

    def _usable(self, errors: dict[int, dict[str, Errors]]) -> int:
        """Return the last horizon up to which every object is near in the median, and hardly ever lost."""
        usable = 0
        for horizon, by_object in errors.items():
            known = [e.summary() for e in by_object.values() if e.real]
            if any(s["vanished"] >= LOST_SHARE or s.get("median_px", NEAR + 1) > NEAR for s in known):
                break
            usable = horizon
        return usable


@torch.no_grad()
def dream(model: WorldModel, part: Windows, executed: Tensor, temperature: float, seed: int) -> list[Imagined]:
    """Dream the rest of windows after `TRUE_STEPS` true steps, under actions (B, T, F)."""
    draws = torch.Generator().manual_seed(seed)
    state = model.begin(part.frames[:, : -(executed.shape[1] - TRUE_STEPS)], part.executed[:, :TRUE_STEPS])
    steps = []
    for step in range(TRUE_STEPS, executed.shape[1]):
        state, imagined = model.imagine(state, executed[:, step], temperature, draws)
        steps.append(imagined)
    return steps


def untrained_memory(model: WorldModel) -> WorldModel:
    """Return a copy whose recurrent layers have new random weights."""
    other = copy.deepcopy(cast(nn.Module, model))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in other.modules():
            if isinstance(module, nn.RNNBase):
                module.reset_parameters()
    return cast(WorldModel, other)


def _extrapolated(before: Places, now: Places, steps: int) -> Places:
    """Move each object on as fast as it was."""
    return {
        name: [(x + steps * (x - u), y + steps * (y - v)) for (x, y), (u, v) in zip(places, before[name], strict=False)]
        for name, places in now.items()
    }


def _count_events(real: np.ndarray, told: np.ndarray) -> tuple[int, int, int, int]:
    """real, told: (B, T), 0 where nothing happens. Returns events, those told in time, steps, false ones."""
    events = hits = false = 0
    for row_real, row_told in zip(real, told, strict=True):
        free = list(_events(row_told))
        for step, value in _events(row_real):
            near = [event for event in free if abs(event[0] - step) <= TOLERANCE and event[1] == value]
            if near:
                free.remove(near[0])
            if near or step + TOLERANCE < len(row_real):  # otherwise it may be told after the window
                events, hits = events + 1, hits + bool(near)
        false += len(free)
    return events, hits, real.size, false


def _events(row: np.ndarray) -> Iterator[tuple[int, float]]:
    for step in np.flatnonzero(row):
        yield int(step), float(row[step])


def _told(counts: np.ndarray) -> dict[str, float]:
    events, hits, steps, false = counts.tolist()
    return {"events": events, "told": hits / max(events, 1), "false_per_1000": 1_000 * false / max(steps, 1)}


def _shares(counts: dict[str, dict[int, Any]], total: int) -> dict[str, dict[str, float]]:
    return {
        name: {str(h): count / total for h, count in by_horizon.items()}
        for name, by_horizon in counts.items()
        if name != "constant velocity"
    }
