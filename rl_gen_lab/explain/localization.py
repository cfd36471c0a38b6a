"""How much of a map lies on the objects that are truly there, and whether its largest value points at one.

Masks are those of a stack: each channel of a map is scored by the mask of its own frame. B frames, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError

NEAR = 2  # pixels beside an object at which a map still points at it


@dataclass(frozen=True)
class Located:
    """Scores of maps for one object, of the frames that show it: (B,) each, NaN for the others.

    mass: share of the map on the object; area: share of the frame that it covers; rank: share of the largest pixels, as
    many as it covers, that lie on it; hit, near: whether the largest value lies on it, or within `NEAR` pixels.
    """

    mass: np.ndarray
    area: np.ndarray
    rank: np.ndarray
    hit: np.ndarray
    near: np.ndarray

    def lift(self, rows: np.ndarray) -> float:
        """Return mean mass share over mean area share of these frames; 1 is what a map of noise gets, NaN none."""
        rows = rows[~np.isnan(self.area[rows])]
        area = self.area[rows].sum()
        return float(self.mass[rows].sum() / area) if area > 0 else float("nan")


def located(maps: Tensor, masks: Tensor) -> Located:
    """Score maps by the masks of one object. maps: (B, C or 1, H, W), signed; masks: (B, C, H, W) bool.

    Raises: ConfigError for maps of other frames than the masks'.
    """
    if len(maps) != len(masks) or maps.shape[2:] != masks.shape[2:] or maps.shape[1] not in (1, masks.shape[1]):
        shapes = tuple(maps.shape), tuple(masks.shape)
        raise ConfigError(f"maps of {shapes[0]} are not of the frames with masks of {shapes[1]}: make them of the same")
    strength = maps.abs().expand(masks.shape).double()
    there = masks.flatten(1).any(1)
    total = strength.flatten(1).sum(1)
    mass = (strength * masks).flatten(1).sum(1) / torch.where(total > 0, total, torch.ones_like(total))
    area = masks.double().flatten(1).mean(1)
    wide = F.max_pool2d(masks.double(), 2 * NEAR + 1, 1, NEAR) > 0
    flat = strength.amax(1).flatten(1)  # over the stack: a map that has one channel for all points alike
    place = flat.argmax(1, keepdim=True)
    hit, near = (part.any(1).flatten(1).gather(1, place)[:, 0] & (total > 0) for part in (masks, wide))
    rank = torch.tensor([_rank(s, m) for s, m in zip(strength, masks, strict=True)], dtype=torch.float64)
    values = [torch.where(there, part.double(), torch.nan).numpy() for part in (mass, area, rank, hit, near)]
    return Located(*values)


def _rank(strength: Tensor, mask: Tensor) -> float:
    """Return the share of the largest pixels of a map, as many as the mask has, that lie in the mask."""
    count = int(mask.sum())
    if not count:
        return float("nan")
    top = strength.flatten().topk(count).indices
    return float(mask.flatten()[top].double().mean())
