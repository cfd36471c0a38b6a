"""Maps from perturbed frames; no gradient is needed. All return (B, 1, H, W), the same for all channels of a stack."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.explain.model import Explained

PASS = 256  # perturbed frames in a pass
WINDOW, STRIDE = 5, 3  # of occlusion [px]
BLUR_RADIUS, BLUR_STRIDE = 3.0, 3  # standard deviation of the blur, distance of its centers [px]
RISE_MASKS, RISE_CELLS, RISE_KEPT = 500, 12, 0.5  # masks, cells on a side of a mask, share of them that is kept


@torch.no_grad()
def occlusion(model: Explained, frames: Tensor, chosen: Tensor, window: int = WINDOW, stride: int = STRIDE) -> Tensor:
    """Return how much the number falls when a window shows the baseline, averaged over the windows of a pixel.

    Source: Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2. Windows in which
    a frame equals the baseline are not tried: they change nothing.
    """
    masks = _windows(frames.shape[2:], window, stride)
    return _by_masks(model, frames, chosen, masks, lambda frame: model.baseline)


@torch.no_grad()
def blur(
    model: Explained, frames: Tensor, chosen: Tensor, radius: float = BLUR_RADIUS, stride: int = BLUR_STRIDE
) -> Tensor:
    """Return how much the number changes (absolute value) when a round spot is blurred.

    Source: Greydanus et al. 2018, "Visualizing and Understanding Atari Agents", eq. 1 and 2; of one number here, never
    of the sum over all outputs, which shows the representation and not the action.
    """
    masks = _spots(frames.shape[2:], radius, stride)
    return _by_masks(model, frames, chosen, masks, lambda frame: blurred(frame[None], radius)[0], absolute=True)


@torch.no_grad()
def rise(
    model: Explained,
    frames: Tensor,
    chosen: Tensor,
    masks: int = RISE_MASKS,
    cells: int = RISE_CELLS,
    kept: float = RISE_KEPT,
    seed: int = 0,
) -> Tensor:
    """Return the mean of random masks weighted by the number that the masked frame gets, less the mean number.

    Source: Petsiuk et al. 2018, "RISE", eq. 6; masks are random grids, enlarged bilinearly and shifted; the baseline
    stands where they are 0.
    """
    draws = torch.Generator().manual_seed(seed)
    height, width = frames.shape[2:]
    tall, wide = -(-height // cells), -(-width // cells)
    grids = (torch.rand(masks, 1, cells + 1, cells + 1, generator=draws) < kept).float()
    large = F.interpolate(grids, ((cells + 1) * tall, (cells + 1) * wide), mode="bilinear", align_corners=False)
    shifts = torch.stack([torch.randint(n, (masks,), generator=draws) for n in (tall, wide)], 1).tolist()
    drawn = torch.stack([m[:, y : y + height, x : x + width] for m, (y, x) in zip(large, shifts, strict=True)])
    drawn = drawn.to(frames.dtype)
    maps = []
    for frame, choice in zip(frames, chosen, strict=True):
        tried = (model.baseline + part * (frame - model.baseline) for part in drawn.split(PASS))
        numbers = torch.cat([model.scores(some, choice.expand(len(some))) for some in tried])
        weights = (numbers - numbers.mean()).to(frames.dtype)
        maps.append((weights[:, None, None, None] * (drawn - kept)).mean(0))
    return torch.stack(maps)


def blurred(frames: Tensor, radius: float) -> Tensor:
    """Return frames (B, C, H, W) under a Gaussian blur; radius: its standard deviation [px]."""
    half = max(1, round(3 * radius))
    line = torch.exp(-0.5 * (torch.arange(-half, half + 1, dtype=frames.dtype) / radius).square())
    line = (line / line.sum()).expand(frames.shape[1], 1, 1, -1)
    padded = F.pad(frames, (half, half, half, half), mode="replicate")
    across = F.conv2d(padded, line, groups=frames.shape[1])
    return F.conv2d(across, line.transpose(2, 3), groups=frames.shape[1])


def _windows(size: torch.Size, window: int, stride: int) -> Tensor:
    """Return masks (M, 1, H, W), 1 in the windows that lie in a frame."""
    height, width = size
    places = [(y, x) for y in _places(height, window, stride) for x in _places(width, window, stride)]
    masks = torch.zeros(len(places), 1, height, width)
    for mask, (y, x) in zip(masks, places, strict=True):
        mask[:, y : y + window, x : x + window] = 1
    return masks


def _places(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixels of windows that together cover a line."""
    last = max(length - window, 0)
    return sorted({*range(0, last + 1, stride), last})


def _spots(size: torch.Size, radius: float, stride: int) -> Tensor:
    """Return masks (M, 1, H, W): Gaussian spots of height 1, cut off at three standard deviations."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij")
    centers = [(r, c) for r in range(stride // 2, size[0], stride) for c in range(stride // 2, size[1], stride)]
    squares = torch.stack([(y - r).square() + (x - c).square() for r, c in centers])[:, None]
    return torch.exp(-0.5 * squares / radius**2) * (squares <= (3 * radius) ** 2)


def _by_masks(
    model: Explained,
    frames: Tensor,
    chosen: Tensor,
    masks: Tensor,
    fill: Callable[[Tensor], Tensor],
    absolute: bool = False,
) -> Tensor:
    """Return the fall of the number under each mask, shared out by the masks: (B, 1, H, W)."""
    masks = masks.to(frames.dtype)
    covered = masks.sum(0).clamp(min=1e-6)
    maps = []
    for frame, choice in zip(frames, chosen, strict=True):
        filled = fill(frame)
        differs = (frame != filled).any(0)
        tried = masks[(masks * differs).flatten(1).any(1)]
        number = model.scores(frame[None], choice[None])
        total = torch.zeros_like(masks[0])
        for part in tried.split(PASS):
            fallen = number - model.scores(frame + part * (filled - frame), choice.expand(len(part)))
            fallen = fallen.abs() if absolute else fallen
            total += torch.einsum("m,mchw->chw", fallen.to(frames.dtype), part)
        maps.append(total / covered)
    return torch.stack(maps)
