"""Draws from categorical distributions at a temperature."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn(logits: Tensor, dim: int, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Draw one of the values along a dimension, which is gone in the result (int64).

    temperature: 0 takes the likeliest, 1 draws each as often as it is likely, more evens them out. By the Gumbel-max
    trick (Gumbel 1954).
    """
    if not temperature:
        return logits.argmax(dim)
    noise = torch.rand(logits.shape, generator=generator, device=logits.device).clamp_min(1e-20)
    return (logits - temperature * (-noise.log()).log()).argmax(dim)
