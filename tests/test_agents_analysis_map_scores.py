"""The numbers of a row: a method beside its twin, and maps that need no network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from packed_agents import pong_frames, pong_gap

from agents.analysis.causal import effects, stacked
from agents.analysis.map_scores import Sample, incompleteness, of_maps, of_method
from rl_gen_lab.explain.controls import NETWORK_FREE
from rl_gen_lab.explain.gradient_maps import gradient_x_input, integrated_gradients
from rl_gen_lab.explain.model import Explained


def sample() -> Sample:
    kept = pong_frames()
    frames, chosen = stacked(kept)
    names = ("ball", "player", "enemy")
    masks = {name: torch.from_numpy(np.stack([one.seen.masks[name] for one in kept])) for name in names}
    least = torch.tensor([int(one.seen.scores.argmin()) for one in kept])
    episodes = np.array([one.seen.episode for one in kept])
    return Sample(frames, chosen, least, masks, effects(pong_gap(), kept, names), episodes)


@pytest.mark.slow
def test_a_trained_network_lies_on_the_ball_and_its_twin_does_not() -> None:
    asked: list[torch.Tensor] = []

    def method(model: Explained, frames: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        asked.append(frames)
        return gradient_x_input(model, frames, chosen)

    one = sample()
    row = of_method("gradient-x-input", method, pong_gap(), one)
    assert asked[0] is one.frames and asked[1] is one.frames  # the twin's frames are the same
    assert row["ball/over_twin"] > 2 and row["ball/lift"] > 20
    assert row["ball/over_twin_low"] <= row["ball/over_twin"] <= row["ball/over_twin_high"]
    assert 0 < row["ms"] < 1_000 and -1 <= row["output_random"] <= 1 and row["max_sensitivity"] > 0
    assert row["deletion_mean"] < row["insertion_mean"] and row["infidelity"] < 1.5


@pytest.mark.slow
def test_noise_has_a_lift_of_one_and_a_difference_of_frames_needs_no_network_to_find_the_ball() -> None:
    one, model = sample(), pong_gap()
    noise = of_maps(NETWORK_FREE["random"](model, one.frames, 0), model, one)
    moving = of_maps(NETWORK_FREE["frame difference"](model, one.frames, 0), model, one)
    assert noise["ball/lift"] == pytest.approx(1.0, abs=0.3) and moving["ball/lift"] > 50
    assert moving["deletion_mean_beside"] == 0.0  # it is what others are compared with
    assert noise["ball/area"] == moving["ball/area"] < 0.002


def test_integrated_gradients_say_how_incomplete_they_are() -> None:
    one, model = sample(), pong_gap()
    maps = integrated_gradients(model, one.frames, one.chosen)
    assert incompleteness(maps, model, one) < 0.01 < incompleteness(1.5 * maps, model, one)
