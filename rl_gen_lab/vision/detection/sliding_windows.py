"""Every place where an object might be: windows of a few shapes, moved over the picture in small steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 2  # steps of a window within its own width and height, at least
LONGEST_STEP = 4  # pixels
MARGIN = 1  # pixels around a window that are looked at as well: an object that fills it has its edge there


class Windows:
    """Windows of `shapes` (A, 2) width and height [px], rounded, in pictures of `size` (H, W).

    A window in whose surroundings all is of one colour cannot show an object and is skipped.
    Source: Rowley et al. 1998, "Neural Network-Based Face Detection"; skipping: Kalal et al. 2012,
    "Tracking-Learning-Detection", section 5.3, "patch variance".
    """

    def __init__(self, shapes: Tensor, size: tuple[int, int]) -> None:
        height, width = size
        rounded = sorted({(max(round(w), 1), max(round(h), 1)) for w, h in shapes.tolist()})
        self.shapes = [(w, h) for w, h in rounded if w <= width and h <= height]
        self.boxes = []
        for w, h in self.shapes:
            down, right = steps(w, h)
            y, x = torch.meshgrid(
                torch.arange(0, height - h + 1, down), torch.arange(0, width - w + 1, right), indexing="ij"
            )
            self.boxes.append(torch.stack((x, y, x + w, y + h), -1).reshape(-1, 4).float())

    def __call__(self, image: Tensor) -> Tensor:
        """image: (C, H, W) uint8 -> (M, 4) windows that show more than one colour."""
        padded = F.pad(image[None].float(), [MARGIN] * 4, mode="replicate")
        found = []
        for (w, h), boxes in zip(self.shapes, self.boxes, strict=True):
            kernel = (h + 2 * MARGIN, w + 2 * MARGIN)
            high, low = (F.max_pool2d(sign * padded, kernel, steps(w, h)) for sign in (1, -1))
            found.append(boxes.to(image.device)[((high + low) > 0).any(1).flatten()])
        return torch.cat(found)


def steps(width: int, height: int) -> tuple[int, int]:
    """How far a window moves down and to the right [px]."""
    down, right = (min(max(side // STEPS, 1), LONGEST_STEP) for side in (height, width))
    return down, right
