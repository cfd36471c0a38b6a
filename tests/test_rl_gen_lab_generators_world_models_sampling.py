"""Values are drawn as often as they are likely, at temperature 0 the likeliest, and at a high one evenly."""

from __future__ import annotations

import torch

from rl_gen_lab.generators.world_models.sampling import drawn


def test_temperatures() -> None:
    shares = torch.tensor([0.7, 0.2, 0.1])
    logits = shares.log()[:, None].expand(3, 30_000)
    counts = {
        temperature: torch.bincount(drawn(logits, 0, temperature, torch.Generator().manual_seed(1)), minlength=3)
        / 30_000
        for temperature in (0.0, 1.0, 2.0, 1e6)
    }
    assert counts[0.0].tolist() == [1, 0, 0]
    assert (counts[1.0] - shares).abs().max() < 0.01
    assert (counts[2.0] - shares.sqrt() / shares.sqrt().sum()).abs().max() < 0.01
    assert (counts[1e6] - 1 / 3).abs().max() < 0.01
