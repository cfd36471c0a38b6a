"""Activation maximization and dreams: frames that excite a unit, or whatever a layer already sees.

Sources: Erhan et al. 2009, "Visualizing higher-layer features of a deep network"; Yosinski et al. 2015 (blur, L2); Olah
et al. 2017, "Feature visualization" (waves, shifts); Mordvintsev et al. 2015, "Inceptionism" (octaves).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.explain.synthesis.config import SearchConfig
from rl_gen_lab.explain.synthesis.search import total_variation
from rl_gen_lab.explain.synthesis.subject import Value

WHITE = 255.0
BLUR_EVERY = 10  # steps


def waves(spectrum: Tensor, height: int, width: int) -> Tensor:
    """Return frames (B, C, H, W) of a spectrum (B, C, H, W // 2 + 1, 2), each wave scaled by its length.

    White noise in the spectrum is then noise of equal energy at all scales, as pictures are.
    """
    down = torch.fft.fftfreq(height)[:, None]
    right = torch.fft.rfftfreq(width)[None]
    length = (down.square() + right.square()).sqrt().clamp(min=1 / max(height, width))
    return torch.fft.irfft2(torch.view_as_complex(spectrum) / length, (height, width), norm="ortho")


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures (B, C, H, W) blurred by a Gaussian, borders repeated."""
    reach = max(int(3 * sigma + 0.5), 1)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    line = line / line.sum()
    channels = pictures.shape[1]
    padded = F.pad(pictures, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, line.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, line.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def shifted(frames: Tensor, by: int, generator: torch.Generator) -> Tensor:
    """Return frames shifted by up to `by` pixels both ways; borders are repeated."""
    if by == 0:
        return frames
    y, x = torch.randint(0, 2 * by + 1, (2,), generator=generator).tolist()
    padded = F.pad(frames, (by, by, by, by), mode="replicate")
    return padded[:, :, y : y + frames.shape[2], x : x + frames.shape[3]]


def projected(change: Tensor, budget: float) -> Tensor:
    """Return the nearest change whose absolute values sum to `budget` at most: the strong stay, the weak become 0.

    Source: Duchi et al. 2008, "Efficient projections onto the l1-ball", figure 1.
    """
    sizes = change.abs().flatten()
    if float(sizes.sum()) <= budget:
        return change
    ordered = sizes.sort(descending=True).values.double()
    sums = ordered.cumsum(0) - budget
    count = int((ordered * torch.arange(1, len(ordered) + 1) > sums).sum())
    threshold = float(sums[count - 1]) / count
    return change.sign() * (change.abs() - threshold).clamp(min=0)


def distance(frames: Tensor, mean: Tensor) -> float:
    """Return the mean over frames (N, C, H, W) uint8 of the sum of absolute differences from the mean frame [white]."""
    return float((frames.float() - mean).abs().sum((1, 2, 3)).mean()) / WHITE


def maximize(
    value: Value,
    mean: Tensor,
    spread: float,
    budget: float,
    config: SearchConfig,
    *,
    depth: int = 1,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Return the frame (C, H, W) float32 in [0, 255] with the largest value found, less what its irregularities cost.

    mean: (C, H, W), the frame that shows nothing. spread: of the value over real frames, its unit here. budget: the sum
    of absolute differences from the mean frame, at most [white]. depth: channels of a frame; a stack of several is also
    kept from flickering.
    """
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = mean.shape
    fourier = config.parametrization == "fourier"
    shape = (1, channels, height, width // 2 + 1, 2) if fourier else (1, *mean.shape)
    found = torch.zeros(shape)
    if config.start == "noise":
        found = torch.randn(shape, generator=generator) * (0.02 if fourier else 0.1)
    found.requires_grad_()
    # In units of white; a wave's size is multiplied by its length, so it needs a smaller step.
    rate = config.rate / WHITE * (0.1 if fourier else 1)
    optimizer = torch.optim.Adam([found], lr=rate)

    def frame() -> Tensor:
        change = found
        if fourier:
            change = waves(found, height, width)
            change = change * (budget / change.abs().sum().clamp(min=budget))
        return (mean[None] / WHITE + change).clamp(0, 1)

    def cost(picture: Tensor) -> Tensor:
        change = picture - mean[None] / WHITE
        stack = change.reshape(1, -1, depth, height, width)
        flicker = (stack[:, 1:] - stack[:, :-1]).square().mean() if stack.shape[1] > 1 else change.new_zeros(())
        parts = config.l2 * change.square().mean() + config.time * flicker
        return WHITE * (config.variation * total_variation(change) + parts)

    best, most = mean.clone(), float("-inf")
    for step in range(config.steps):
        optimizer.zero_grad()
        picture = frame()
        reached = value(WHITE * shifted(picture, config.jitter, generator)).sum() / max(spread, 1e-6)
        (cost(picture) - reached).backward()
        optimizer.step()
        with torch.no_grad():
            if config.blur and step % BLUR_EVERY == BLUR_EVERY - 1 and step < config.steps - BLUR_EVERY and not fourier:
                found.copy_(blurred(found, config.blur))
            if not fourier:
                inside = (mean[None] / WHITE + found).clamp(0, 1) - mean[None] / WHITE
                found.copy_(projected(inside, budget))
            picture = frame()
            now = float(value(WHITE * picture).sum() / max(spread, 1e-6) - cost(picture))
            if now > most:
                best, most = WHITE * picture[0], now
        on_step(step + 1)
    return best.detach()


def dream(
    maps: Callable[[Tensor], Tensor],
    frame: Tensor,
    config: SearchConfig,
    *,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Return a frame (C, H, W) float32 in [0, 255] in which a layer sees more of what it sees in the given one.

    maps: what a layer gives for frames of any size. Uphill on the mean of its squares, from a small copy of the frame
    to one of its own size; of each size what was changed is kept.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = frame.shape[1:]
    change = torch.zeros(1, *frame.shape)
    for octave in range(config.octaves):
        scale = config.octave_scale ** (octave - config.octaves + 1)
        size = (max(round(height * scale), 1), max(round(width * scale), 1))
        base = F.interpolate(frame[None], size, mode="bilinear", antialias=True)
        change = F.interpolate(change, size, mode="bilinear")
        for step in range(config.steps):
            picture = (base + change).clamp(0, WHITE).requires_grad_()
            excited = maps(shifted(picture, config.jitter, generator)).relu().square().mean()
            (slope,) = torch.autograd.grad(excited, picture)
            change = change + config.rate * slope / slope.abs().mean().clamp(min=1e-12) / 10
            change = (base + change).clamp(0, WHITE) - base
            on_step(octave * config.steps + step + 1)
    return (frame[None] + change).clamp(0, WHITE)[0].detach()
