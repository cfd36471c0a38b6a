"""How alike two textures are, without a pretrained judge: patches, filters that took no part, long shifts, copies."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.explain.synthesis.encoders import deep, standardized
from rl_gen_lab.explain.synthesis.gram import correlations, gram, gram_distance

SIDES, DIRECTIONS, QUANTILES = (3, 7, 13), 128, 512  # of the sliced Wasserstein distance
JUDGE_SEED, JUDGE = 9_173, (24, 48, 48, 96)  # of the network that took no part
NEAR, LAG = 6, 36  # pixels: shifts that patches already see; the largest shift
COPIED = 7  # side of the patches that are looked up


def sliced_wasserstein(first: Tensor, second: Tensor, side: int) -> float:
    """Return the mean Wasserstein-1 distance of two pictures' patches over random directions of length 1.

    first, second: (1, 3, H, W) float32 in [0, 1]. Patches are at every place, directions are fixed.
    Source: Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing".
    """
    generator = torch.Generator().manual_seed(side)
    directions = torch.randn(DIRECTIONS, 3 * side * side, generator=generator)
    kernels = (directions / directions.norm(dim=1, keepdim=True)).reshape(-1, 3, side, side)
    places = (torch.arange(QUANTILES) + 0.5) / QUANTILES
    found = [quantiles(F.conv2d(picture, kernels).flatten(2)[0], places) for picture in (first, second)]
    return float((found[0] - found[1]).abs().mean())


def quantiles(values: Tensor, shares: Tensor) -> Tensor:
    """Return the values below which these shares of each row lie. values: (R, N); shares: (Q,) -> (R, Q)."""
    ordered = values.sort(1).values
    at = (shares * values.shape[1] - 0.5).clamp(0, values.shape[1] - 1)
    low, part = at.floor().long(), at - at.floor()
    high = (low + 1).clamp(max=values.shape[1] - 1)
    return ordered[:, low] * (1 - part) + ordered[:, high] * part


def judged(picture: Tensor, source: Tensor) -> float:
    """Return the Gram distance in a random network that took no part. Pictures (1, 3, H, W) float32 in [0, 1]."""
    judge = standardized(deep(JUDGE_SEED, JUDGE), source)
    with torch.no_grad():
        found, wanted = ([gram(maps) for maps in judge(one)] for one in (picture, source))
    return float(gram_distance(found, wanted))


def long_range(picture: Tensor, source: Tensor) -> float:
    """Return how much stronger or weaker repeats over `NEAR` pixels are: the Wasserstein-1 distance of correlations.

    Of a picture with shifted copies of itself, beside the mean of crops of the source that are as large: where a repeat
    lies does not count, for bricks farther off are smaller. Small pictures also correlate by chance: hence the crops.
    """
    height, width = (min(a, b) for a, b in zip(picture.shape[2:], source.shape[2:], strict=True))
    tops, lefts = (
        sorted({round(k * (whole - size) / 2) for k in range(3)})
        for whole, size in zip(source.shape[2:], (height, width), strict=True)
    )
    crops = [source[:, :, top : top + height, left : left + width] for top in tops for left in lefts]
    wanted = torch.stack([repeats(crop) for crop in crops]).mean(0)
    return float((repeats(picture[:, :, :height, :width]) - wanted).abs().mean())


def repeats(picture: Tensor) -> Tensor:
    """Return the correlations of a picture at shifts from `NEAR` to `LAG` pixels, in order of their size."""
    lag = min(LAG, *(side // 2 for side in picture.shape[2:]))
    down, right = torch.meshgrid(torch.arange(lag + 1), torch.arange(-lag, lag + 1), indexing="ij")
    far = torch.maximum(down, right.abs()) >= min(NEAR, lag)
    return correlations(picture, lag)[0, far].sort().values


def copy_rate(picture: np.ndarray, source: np.ndarray, side: int = COPIED) -> float:
    """Return the share of a picture's patches that stand in the source to the last bit. Pictures: (H, W, 3) uint8."""
    known = set(_patches(source, side))
    found = _patches(picture, side)
    return sum(patch in known for patch in found) / max(len(found), 1)


def _patches(picture: np.ndarray, side: int) -> list[bytes]:
    views = np.lib.stride_tricks.sliding_window_view(picture, (side, side), (0, 1))
    rows = np.ascontiguousarray(views).reshape(views.shape[0] * views.shape[1], -1)
    return [row.tobytes() for row in rows]


def measured(picture: np.ndarray, source: np.ndarray) -> dict[str, float]:
    """Return all measures of a picture beside a source, both (H, W, 3) uint8; lower is more alike, but for copies."""
    first, second = as_tensor(picture), as_tensor(source)
    sides = [side for side in SIDES if min(*picture.shape[:2], *source.shape[:2]) >= side]
    found = {f"wasserstein_{side}": sliced_wasserstein(first, second, side) for side in sides}
    found |= {"gram": judged(first, second), "long_range": long_range(first, second)}
    return found | {"copied": copy_rate(picture, source)}


def as_tensor(picture: np.ndarray) -> Tensor:
    """Return a picture (H, W, 3) uint8 as (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


def as_picture(pixels: Tensor) -> np.ndarray:
    """Return pixels (1, C, H, W) in [0, 1], C = 1 or 3, as a picture (H, W, 3) uint8."""
    color = pixels[0].detach().expand(3, -1, -1).clamp(0, 1)
    picture: np.ndarray = (255 * color).round().byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(picture)
