"""Sliding windows: proposals of a few shapes, moved over the image in small steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 2  # of a window within its own width and height, at least
MAX_STEP = 4  # pixels
MARGIN = 1  # pixels around a window that are read too: the edge of an object that fills it lies there


class Windows:
    """Windows of `shapes` (A, 2) width and height [px], rounded, in images of `size` (H, W).

    A window of one color, its margin included, cannot show an object and is skipped.
    Source: Rowley et al. 1998, "Neural Network-Based Face Detection"; skipping: Kalal et al. 2012,
    "Tracking-Learning-Detection", section 5.3, "patch variance".
    """

    def __init__(self, shapes: Tensor, size: tuple[int, int]) -> None:
        height, width = size
        rounded = sorted({(max(round(w), 1), max(round(h), 1)) for w, h in shapes.tolist()})
        self.shapes = [(w, h) for w, h in rounded if w <= width and h <= height]
        self.boxes = []
        for w, h in self.shapes:
            down, right = strides(w, h)
            y, x = torch.meshgrid(
                torch.arange(0, height - h + 1, down), torch.arange(0, width - w + 1, right), indexing="ij"
            )
            self.boxes.append(torch.stack((x, y, x + w, y + h), -1).reshape(-1, 4).float())

    def __call__(self, image: Tensor) -> Tensor:
        """image: (C, H, W) uint8 -> (M, 4) windows that show more than one color."""
        padded = F.pad(image[None].float(), [MARGIN] * 4, mode="replicate")
        windows = []
        for (w, h), boxes in zip(self.shapes, self.boxes, strict=True):
            kernel = (h + 2 * MARGIN, w + 2 * MARGIN)
            high, low = (F.max_pool2d(sign * padded, kernel, strides(w, h)) for sign in (1, -1))
            windows.append(boxes.to(image.device)[((high + low) > 0).any(1).flatten()])
        return torch.cat(windows)


def strides(width: int, height: int) -> tuple[int, int]:
    """Return the step of a window down and to the right [px]."""
    down, right = (min(max(side // STEPS, 1), MAX_STEP) for side in (height, width))
    return down, right
