"""Counts of rewards and ends, and dreams beside what happened, by hand."""

from __future__ import annotations

from pathlib import Path

import dot_world
import torch
from PIL import Image

from rl_gen_lab.generators.world_models import metrics
from rl_gen_lab.generators.world_models.metrics import Comparison


def test_outcomes_are_counted() -> None:
    told, rewards = torch.tensor([1.0, 0, 0, -1, 0]), torch.tensor([1.0, 1, 0, 1, 0])
    is_end, ends = torch.tensor([1, 0, 0, 0, 1]).bool(), torch.tensor([1, 1, 0, 0, 0]).bool()
    counts = metrics.count_outcomes(told, is_end, rewards, ends)
    assert counts.tolist() == [[1, 3], [1, 2], [0, 2], [1, 3]]
    found = metrics.outcome_metrics(counts)
    assert found["rewards_found"] == 1 / 3 and found["ends_found"] == 0.5 and found["false_ends"] == 1_000 / 3
    assert metrics.outcome_metrics(torch.zeros(4, 2)) == {}


def test_outcome_nats_are_cross_entropies() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0])
    found = metrics.outcome_nats(
        torch.zeros(2, 3), torch.zeros(2), torch.tensor([1.0, 5.0]), torch.tensor([True, False]), values
    )
    assert abs(float(found) - float(torch.tensor(3.0).log() + torch.tensor(2.0).log())) < 1e-6


def test_dreams_without_an_error_have_no_wrong_pixel() -> None:
    task, data = dot_world.learned()
    split = data.splits["test"]
    comparison = Comparison(split.steps)
    comparison.add(task.model, split.windows(range(4)), split.context)
    assert comparison.metrics() == {"wrong_pixels/1": 0.0, "wrong_pixels/5": 0.0}


def test_a_figure_of_a_dream_is_drawn(tmp_path: Path) -> None:
    task, data = dot_world.learned()
    file = metrics.draw_dream(task.model, data.world, data.splits["val"], tmp_path / "a" / "dream.png")
    with Image.open(file) as image:
        assert image.width > 5 * 32 and image.height > 3 * 32
