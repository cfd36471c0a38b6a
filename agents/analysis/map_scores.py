"""All scores of one method on the chosen frames, each beside its controls, as flat numbers for a row."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.analysis.causal import Effects, agreement
from rl_gen_lab.explain import faithfulness
from rl_gen_lab.explain.controls import NETWORK_FREE, untrained
from rl_gen_lab.explain.localization import Located, located
from rl_gen_lab.explain.model import Explained
from rl_gen_lab.explain.statistics import Statistic, interval

Method = Callable[[Explained, Tensor, Tensor], Tensor]
PART = 40  # frames of the scores that need many maps of a frame
TIMED = 8  # frames of the measurement of time, one at a time
REFERENCE = "frame difference"  # the order of deletion that others are compared with


@dataclass(frozen=True)
class Sample:
    """Frames (B, C, H, W) float32 with actions (B,), masks (B, C, H, W) bool by object, effects, and episodes (B,).

    least: (B,), the action that the agent thinks least of.
    """

    frames: Tensor
    chosen: Tensor
    least: Tensor
    masks: dict[str, Tensor]
    effects: Effects
    episodes: np.ndarray

    def part(self) -> np.ndarray:
        """Return the indices of `PART` frames, evenly spaced."""
        return np.unique(np.linspace(0, len(self.frames) - 1, min(PART, len(self.frames))).round().astype(int))


def of_method(name: str, method: Method, model: Explained, sample: Sample, seed: int = 0) -> dict[str, float]:
    """Measure a method, its untrained twin with the same frames and actions, and what randomizing layers does to it."""
    maps, twin = method(model, sample.frames, sample.chosen), untrained(model, seed + 1)
    twin_maps = method(twin, sample.frames, sample.chosen)
    found = of_maps(maps, model, sample, seed) | _beside_twin(maps, twin_maps, sample)
    found["twin_similarity"] = _mean(faithfulness.similarity(maps, twin_maps))
    rows = sample.part()
    frames, chosen, some = sample.frames[rows], sample.chosen[rows], maps[rows]
    stages = list(faithfulness.cascade(method, model, frames, chosen, some, seed).values())
    found |= {"output_random": _mean(stages[0]), "all_random": _mean(stages[-1])}
    found |= {f"cascade_{number}": _mean(stage) for number, stage in enumerate(stages, 1)}
    other = method(model, frames, sample.least[rows])
    found["other_action"] = _mean(faithfulness.similarity(some, other))
    few = rows[:: max(1, len(rows) // 10)]
    sensitivity = faithfulness.max_sensitivity(
        method, model, sample.frames[few], sample.chosen[few], maps[few], seed=seed
    )
    found["max_sensitivity"] = _mean(sensitivity)
    found["ms"] = _milliseconds(method, model, sample)
    if name == "integrated-gradients":
        found["incomplete"] = incompleteness(maps, model, sample)
    return found


def of_places(method: Method, model: Explained, sample: Sample, seed: int = 0) -> dict[str, float]:
    """Measure what needs no further pass of the network: where a method's maps lie, beside its untrained twin's."""
    maps = method(model, sample.frames, sample.chosen)
    twin_maps = method(untrained(model, seed + 1), sample.frames, sample.chosen)
    return places_of(maps, sample) | _beside_twin(maps, twin_maps, sample)


def places_of(maps: Tensor, sample: Sample) -> dict[str, float]:
    """Measure where maps lie however they were made, and whether objects matter as much as the maps say."""
    found: dict[str, float] = {}
    mass, share = dict[str, np.ndarray](), dict[str, np.ndarray]()
    total = maps.abs().expand(sample.frames.shape).double().flatten(1).sum(1).numpy()
    for name, masks in sample.masks.items():
        one = located(maps, masks)
        found |= _of_object(name, one, sample.episodes)
        share[name], mass[name] = one.mass, one.mass * total
        found[f"{name}/effect"] = _mean(sample.effects.by_object[name])
    for key, values in (("rank_correlation", mass), ("rank_correlation_share", share)):
        value, low, high = agreement(sample.effects, values)
        found |= {key: value, f"{key}_low": low, f"{key}_high": high}
    return found


def of_maps(maps: Tensor, model: Explained, sample: Sample, seed: int = 0) -> dict[str, float]:
    """Measure maps however they were made: where they lie, the causal check, and whether the number follows them."""
    found = places_of(maps, sample)
    numbers = model.scores(sample.frames, sample.chosen).detach().double().numpy()
    scale = float(np.abs(numbers).mean()) or 1.0
    for fill in faithfulness.FILLS:
        for key, keep in (("deletion", False), ("insertion", True)):
            curves = faithfulness.deletion(model, sample.frames, sample.chosen, maps, fill, keep)
            own = faithfulness.area_under(curves) / scale
            found[f"{key}_{fill}"] = float(own.mean())
            reference = NETWORK_FREE[REFERENCE](model, sample.frames, seed)
            base = faithfulness.deletion(model, sample.frames, sample.chosen, reference, fill, keep)
            paired = own - faithfulness.area_under(base) / scale
            value, low, high = interval(_mean_of(paired), sample.episodes)
            found |= {f"{key}_{fill}_beside": value, f"{key}_{fill}_low": low, f"{key}_{fill}_high": high}
    infidelity = faithfulness.infidelity(model, sample.frames, sample.chosen, maps.expand(sample.frames.shape))
    found["infidelity"] = _mean(infidelity)
    return found


def _of_object(name: str, one: Located, episodes: np.ndarray) -> dict[str, float]:
    lift, low, high = interval(one.lift, episodes)
    values = {"lift": lift, "lift_low": low, "lift_high": high, "mass": _mean(one.mass), "area": _mean(one.area)}
    values |= {"rank": _mean(one.rank), "pointing": _mean(one.hit), "near": _mean(one.near)}
    return {f"{name}/{key}": value for key, value in values.items()}


def _beside_twin(maps: Tensor, twin_maps: Tensor, sample: Sample) -> dict[str, float]:
    """Return the lifts of the twin, and those of the trained network in multiples of them."""
    found: dict[str, float] = {}
    for name, masks in sample.masks.items():
        own, other = located(maps, masks), located(twin_maps, masks)

        def over(rows: np.ndarray, own: Located = own, other: Located = other) -> float:
            below = other.lift(rows)
            return own.lift(rows) / below if below > 0 else float("nan")

        value, low, high = interval(over, sample.episodes)
        found |= {f"{name}/twin_lift": other.lift(np.arange(len(maps)))}
        found |= {f"{name}/over_twin": value, f"{name}/over_twin_low": low, f"{name}/over_twin_high": high}
    return found


def incompleteness(maps: Tensor, model: Explained, sample: Sample) -> float:
    """Return by how much the sums of integrated gradients miss the differences that they share out, of all together."""
    with torch.no_grad():
        base = model.scores(model.baseline.expand(sample.frames.shape), sample.chosen)
        wanted = (model.scores(sample.frames, sample.chosen) - base).double()
    missed = (maps.double().flatten(1).sum(1) - wanted).abs().sum() / wanted.abs().sum().clamp(min=1e-30)
    return float(missed)


def _milliseconds(method: Method, model: Explained, sample: Sample) -> float:
    """Return the processor time of a map, one frame at a time."""
    rows = range(min(TIMED, len(sample.frames)))
    began = time.process_time()
    for row in rows:
        method(model, sample.frames[row : row + 1], sample.chosen[row : row + 1])
    return 1_000 * (time.process_time() - began) / len(rows)


def _mean_of(values: np.ndarray) -> Statistic:
    return lambda rows: float(values[rows].mean())


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
