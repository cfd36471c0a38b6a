"""Style transfer: a picture with the content of one and the Gram matrices of another; and its colors alone.

Sources: Gatys, Ecker & Bethge 2016, "Image style transfer using convolutional neural networks"; with random weights He,
Wang & Hopcroft 2016; colors: Pitié & Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.explain.synthesis.encoders import Encoder, deep, one_layer, standardized
from rl_gen_lab.explain.synthesis.gram import gram, gram_distance
from rl_gen_lab.explain.synthesis.search import minimize, out_of_range, total_variation

CONTENT = 1  # the layer of the deep encoder whose places are kept, at half of the size after it
EVEN = 0.1  # variance of maps below which a picture is even
NOISE = 0.03  # of the start of a search
SIZES, FILTERS = (5, 9), 24  # of the one layer beside it, whose filters see larger strokes


@dataclass(frozen=True)
class Weights:
    """Weights of what is kept of the content, of the style, and of smoothness."""

    content: float = 1.0
    style: float = 20.0
    variation: float = 0.05


def style_encoder(style: Tensor, seed: int = 0) -> Encoder:
    """Return the layers that styles are compared by: a random deep network, and larger random filters at half size."""
    network, strokes = deep(seed), one_layer(seed + 1, sizes=SIZES, filters=FILTERS)
    return standardized(lambda pictures: [*network(pictures), *strokes(F.avg_pool2d(pictures, 2))], style)


def content_error(maps: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared difference of maps (B, C, H, W) over how much those wanted differ between places.

    Both less their mean over places: a change of color of the whole picture costs nothing. Of even pictures, such as
    pieces of a game's field, nothing is to be kept, and little is not made much of.
    """
    found, wanted = (one - one.mean((2, 3), keepdim=True) for one in (maps, wanted))
    return (found - wanted).square().mean() / wanted.square().mean().clamp(min=EVEN)


def losses(
    content: Tensor, style: Tensor, weights: Weights, seed: int = 0
) -> Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]:
    """Return a function of pictures: weighted content, style and smoothness losses. content: (B, 3, H, W), of them.

    style: (1, 3, H, W). Both in [0, 1]. The function may be given other contents.
    """
    encoder = style_encoder(style, seed)
    with torch.no_grad():
        wanted = [gram(maps) for maps in encoder(style)]
        own = encoder(content)[CONTENT]

    def loss(pictures: Tensor, contents: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        kept = own
        if contents is not None:
            with torch.no_grad():
                kept = encoder(contents)[CONTENT]
        maps = encoder(pictures)
        styles = gram_distance([gram(one) for one in maps], [one.expand(len(pictures), -1, -1) for one in wanted])
        smooth = total_variation(pictures) + out_of_range(pictures)
        content_loss = content_error(maps[CONTENT], kept)
        return weights.content * content_loss, weights.style * styles, weights.variation * smooth

    return loss


def search(
    content: Tensor,
    style: Tensor,
    weights: Weights,
    *,
    iterations: int = 60,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Return a picture (1, 3, H, W) in [0, 1] with the content of one and the style of another, by L-BFGS.

    Begins at the content in the style's colors, with a little noise: even places have no slope to follow.
    """
    loss = losses(content, style, weights, seed)
    noise = torch.randn(content.shape, generator=torch.Generator().manual_seed(seed))
    start = (colored(content, style) + NOISE * noise).clamp(0, 1)
    return minimize(lambda pictures: torch.stack(loss(pictures, None)).sum(), start, iterations, on_step).clamp(0, 1)


def colored(content: Tensor, style: Tensor) -> Tensor:
    """Return the content with mean and covariance of the style's colors, (1, 3, H, W) in [0, 1].

    The linear map that moves colors least; what leaves the range is clipped.
    """
    points, goal = (picture[0].flatten(1).double() for picture in (content, style))
    mean, wanted = points.mean(1, keepdim=True), goal.mean(1, keepdim=True)
    own, other = (torch.cov(colors) + 1e-6 * torch.eye(3).double() for colors in (points, goal))
    root, inverse = power(own, 0.5), power(own, -0.5)
    change = inverse @ power(root @ other @ root, 0.5) @ inverse
    return (change @ (points - mean) + wanted).float().reshape(content.shape).clamp(0, 1)


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Return the power of a symmetric matrix whose eigenvalues are not negative."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp(min=1e-12).pow(exponent)) @ vectors.T


def edges_kept(picture: Tensor, content: Tensor) -> float:
    """Return the correlation of the edges of two pictures, 1 for the same: how much of the content is still there."""
    found = []
    for one in (picture, content):
        gray = one.mean(1, keepdim=True)
        dx, dy = gray[..., :-1, 1:] - gray[..., :-1, :-1], gray[..., 1:, :-1] - gray[..., :-1, :-1]
        found.append(F.avg_pool2d((dx.square() + dy.square()).sqrt(), 3, 1).flatten())
    return float(torch.corrcoef(torch.stack(found))[0, 1].nan_to_num())
