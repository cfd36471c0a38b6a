"""What all models of a world are measured by: rewards and ends that are told, and dreams beside what happened."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.generators.pictures import differences, draw_grid
from rl_gen_lab.generators.world_models.interfaces import World, WorldModel, painted
from rl_gen_lab.generators.world_models.sequences import SequenceSplit, Windows

TRUE_STEPS = 3  # before a dream begins
HORIZONS = (1, 5, 10)  # steps after which dreams are compared with what happened
OUTCOMES = {"rewards_found": 1, "ends_found": 1, "false_rewards": 1_000, "false_ends": 1_000}
COLUMNS = 8  # frames of a figure


def outcome_nats(reward: Tensor, end: Tensor, rewards: Tensor, ends: Tensor, values: Tensor) -> Tensor:
    """-log p of rewards and ends, a mean over steps [nats]; true ones that training never showed count as the nearest.

    reward: (N, R) logits of the values (R,); end: (N,) logits; rewards, ends: what happened, N in all.
    """
    kind = torch.searchsorted(values, rewards.flatten()).clamp_max(len(values) - 1)
    return F.cross_entropy(reward, kind) + F.binary_cross_entropy_with_logits(end, ends.flatten().float())


def count_outcomes(told: Tensor, is_end: Tensor, rewards: Tensor, ends: Tensor) -> Tensor:
    """Count rewards and ends that are told, and false ones: (4, 2), each with the number of chances. All (N,)."""
    some = rewards != 0
    pairs = [
        ((told == rewards) & some, some),
        (is_end & ends, ends),
        ((told != 0) & ~some, ~some),
        (is_end & ~ends, ~ends),
    ]
    return torch.tensor([[float(part.sum()), float(whole.sum())] for part, whole in pairs])


def outcome_metrics(counts: Tensor) -> dict[str, float]:
    """Return shares, and false ones of 1,000, where there were chances. counts: as of `count_outcomes`, summed."""
    rows = zip(OUTCOMES.items(), counts.tolist(), strict=True)
    return {name: factor * part / whole for (name, factor), (part, whole) in rows if whole}


def dream(model: WorldModel, windows: Windows, context: int, steps: int) -> list[Tensor]:
    """Dream on from a few true steps of windows, under the recorded actions: frames (B, H, W) of each step."""
    state = model.begin(windows.frames[:, : context + TRUE_STEPS], windows.executed[:, :TRUE_STEPS])
    frames = []
    for step in range(steps):
        state, imagined = model.imagine(state, windows.executed[:, TRUE_STEPS + step])
        frames.append(imagined.frames)
    return frames


class Comparison:
    """Pixels that differ between dreams and what happened, by the steps since the last true frame."""

    def __init__(self, steps: int) -> None:
        """steps: of the windows."""
        self.steps = steps
        self.wrong = {horizon: 0.0 for horizon in HORIZONS if horizon <= steps - TRUE_STEPS}
        self.dreams = 0

    def add(self, model: WorldModel, windows: Windows, context: int) -> None:
        """Compare dreams in windows."""
        self.dreams += len(windows.frames)
        frames = dream(model, windows, context, max(self.wrong, default=0))
        for horizon in self.wrong:
            truth = windows.frames[:, context - 1 + TRUE_STEPS + horizon]
            self.wrong[horizon] += float((frames[horizon - 1] != truth).sum())

    def metrics(self) -> dict[str, float]:
        """Return the mean number of wrong pixels at each horizon."""
        return {f"wrong_pixels/{horizon}": total / max(self.dreams, 1) for horizon, total in self.wrong.items()}


def draw_dream(model: WorldModel, world: World, split: SequenceSplit, file: Path) -> Path:
    """Write a figure of what happened, a dream under the same actions, and the pixels that differ."""
    windows = split.windows(split.evenly_spaced(1))
    device = next(model.parameters()).device  # type: ignore[attr-defined]
    steps = split.steps - TRUE_STEPS
    dreamed = dream(model, windows.to(device), split.context, steps)
    chosen = sorted(
        {1, *(round(steps * share / (COLUMNS - 1)) for share in range(1, COLUMNS))} & set(range(1, steps + 1))
    )
    true = [painted(windows.frames[:, split.context - 1 + TRUE_STEPS + step], world.colors)[0] for step in chosen]
    images = [painted(dreamed[step - 1].cpu(), world.colors)[0] for step in chosen]
    rows = [true, images, [differences(a[None], b[None])[0] for a, b in zip(true, images, strict=True)]]
    labels = (f"what happened after {', '.join(map(str, chosen))} steps", "the dream", "pixels that differ")
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_grid(rows, labels).save(file)
    return file
