"""Numbers of scikit-image 0.26, scikit-learn 1.9 and OpenCV 4.13, and the digits that they were computed from.

window: a crop of scikit-image's astronaut (NASA, public domain); digits: UCI's optdigits (CC BY 4.0), 0 to 16.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@functools.cache
def numbers() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "golden" / "classic.npz") as file:
        return dict(file)


def tensor(name: str) -> Tensor:
    return torch.from_numpy(numbers()[name])


def digits() -> tuple[Tensor, Tensor]:
    """Points (1797, 64) float64 and their classes."""
    return tensor("digits").double().flatten(1), tensor("classes").long()


def window() -> Tensor:
    """(1, 3, 128, 64) float64 in [0, 255]."""
    return tensor("window").permute(2, 0, 1)[None].double()
