"""What quantus 0.6.0 says of where maps lie, in tests/golden/quantus.npz: the oracle of mass, rank and pointing.

quantus (LGPL) is no dependency. Run as a command, with it in the path, this file writes the numbers anew:

    pip install --no-deps --target oracle quantus==0.6.0 pandas python-dateutil pytz tzdata scikit-image lazy-loader \
        imageio tifffile networkx tabulate scikit-learn joblib threadpoolctl narwhals
    PYTHONPATH=oracle:tests:. python tests/quantus_numbers.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FILE = Path(__file__).parent / "golden" / "quantus.npz"
COUNT, SIDE = 12, 14


def world() -> tuple[Tensor, Tensor]:
    """Signed maps (12, 1, 14, 14) float64, some of which are strong on their object; masks of the same shape."""
    draws = torch.Generator().manual_seed(1)
    maps = torch.randn(COUNT, 1, SIDE, SIDE, generator=draws, dtype=torch.float64)
    masks = torch.zeros(maps.shape, dtype=torch.bool)
    for number in range(COUNT):
        y, x = (int(torch.randint(9, (1,), generator=draws)) for _ in range(2))
        masks[number, 0, y : y + 2 + number % 4, x : x + 5] = True
    maps[::2] += 3 * masks[::2]
    return maps, masks


def numbers() -> dict[str, np.ndarray]:
    """The committed arrays, (12,) each."""
    with np.load(FILE) as file:
        return dict(file)


def by_quantus() -> dict[str, np.ndarray]:
    """Compute all numbers with quantus."""
    import quantus

    assert quantus.__version__ == "0.6.0"
    maps, masks = (part.numpy() for part in world())
    plain = {"abs": False, "normalise": False, "disable_warnings": True}  # strengths are handed in
    metrics = {
        "mass": quantus.RelevanceMassAccuracy(**plain),
        "rank": quantus.RelevanceRankAccuracy(**plain),
        "hit": quantus.PointingGame(**plain),
    }
    given = {"a_batch": np.abs(maps), "s_batch": masks}
    return {name: np.asarray(metric.evaluate_batch(**given), np.float64) for name, metric in metrics.items()}


if __name__ == "__main__":
    np.savez_compressed(FILE, **by_quantus())  # type: ignore[arg-type]
