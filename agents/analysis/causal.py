"""The causal check: does an object matter as much as the map says?

An object is moved through the emulator, in all frames of the stack, and the number that is explained is computed again.
Its change is the effect of the object; the map says how much of its mass lies on it. Over frames and objects the two
should have the same order (Spearman). Atrey et al. 2020, "Exploratory Not Explanatory", did so by eye, in two games.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.analysis.frames import Kept
from rl_gen_lab.explain.model import Explained, in_batches
from rl_gen_lab.explain.statistics import interval, spearman


@dataclass(frozen=True)
class Effects:
    """The effect of each object in each frame, (B,) by category; NaN where it is not there or could not be moved."""

    by_object: dict[str, np.ndarray]
    episodes: np.ndarray


@torch.no_grad()
def effects(model: Explained, kept: Sequence[Kept], categories: Sequence[str]) -> Effects:
    """Measure effects: the absolute change of the number for the action that was chosen, the mean of both moves."""
    by_object = {name: np.full(len(kept), np.nan) for name in categories}
    for row, one in enumerate(kept):
        keys = [key for key in one.moved if key[0] in by_object and one.seen.masks[key[0]].any()]
        if not keys or ("", 0.0) not in one.moved:
            continue
        stacks = torch.from_numpy(np.stack([one.moved["", 0.0], *(one.moved[key] for key in keys)])).float()
        actions = torch.full((len(stacks),), one.seen.action)
        numbers = in_batches(model.scores, stacks, actions).double().numpy()
        for name in categories:
            changes = [abs(n - numbers[0]) for n, key in zip(numbers[1:], keys, strict=True) if key[0] == name]
            if changes:
                by_object[name][row] = float(np.mean(changes))
    return Effects(by_object, np.array([one.seen.episode for one in kept]))


def agreement(found: Effects, mass: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
    """Return the rank correlation of effect and mass over frames and objects, with its interval by episode.

    mass: share of a map on each object, (B,) by category.
    """
    names = list(found.by_object)
    effect, share = (np.stack([rows[name] for name in names], 1) for rows in (found.by_object, mass))

    def statistic(rows: np.ndarray) -> float:
        there = ~np.isnan(effect[rows]) & ~np.isnan(share[rows])
        return spearman(effect[rows][there], share[rows][there])

    return interval(statistic, found.episodes)


def stacked(kept: Sequence[Kept]) -> tuple[Tensor, Tensor]:
    """Return the frames (B, C, H, W) float32 and the actions (B,)."""
    frames = torch.from_numpy(np.stack([one.seen.obs for one in kept])).float()
    return frames, torch.tensor([one.seen.action for one in kept])
