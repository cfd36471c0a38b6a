"""Probes: F1 against torchmetrics, what is linear is read and what is not is not, gaps of known codes."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.classification import multiclass_f1_score

from rl_gen_lab.generators import probes
from rl_gen_lab.generators.probes import Probed


def test_weighted_f1_is_that_of_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.randint(7, (2, 300), generator=generator)
    predicted[:150] = truth[:150]
    expected = multiclass_f1_score(predicted, truth, num_classes=7, average="weighted")
    assert probes.weighted_f1(predicted, truth) == pytest.approx(float(expected), abs=1e-6)


def test_entropy_is_that_of_the_shares() -> None:
    assert probes.entropy_nats(torch.tensor([1.0, 1.0, 5.0, 5.2])) == pytest.approx(math.log(2))
    assert probes.entropy_nats(torch.ones(9)) == pytest.approx(0.0, abs=1e-6)


def test_what_is_in_the_features_is_read_and_noise_is_not() -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randint(4, (1_200,), generator=generator).float()
    there = torch.nn.functional.one_hot(values.long(), 4).float() + 0.1 * torch.randn(1_200, 4, generator=generator)
    noise = torch.randn(1_200, 4, generator=generator)
    values[::10] = float("nan")

    def score(features: torch.Tensor) -> probes.Score:
        parts = [
            Probed(features[rows], values[rows]) for rows in (slice(0, 800), slice(800, 1_000), slice(1_000, 1_200))
        ]
        return probes.probe(parts[0], parts[1], parts[2], 0, lambda done: None)

    good, bad = score(there), score(noise)
    assert good.f1 > 0.99 and good.r2 > 0.9
    assert bad.f1 < 0.45 and abs(bad.r2) < 0.1 and good.majority_f1 == bad.majority_f1 < 0.2
