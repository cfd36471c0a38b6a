"""Searches of frames in networks whose best frame is known on paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from rl_gen_lab.explain.synthesis.config import SearchConfig
from rl_gen_lab.explain.synthesis.maximization import blurred, distance, dream, maximize, projected, shifted, waves

MEAN = torch.full((2, 12, 10), 100.0)
QUIET = SearchConfig(jitter=0, blur=0, variation=0, time=0, steps=150)


def likes(y: int, x: int, weight: float = 1.0) -> torch.Tensor:
    template = torch.zeros(2, 12, 10)
    template[1, y : y + 2, x : x + 2] = weight
    return template


@pytest.mark.parametrize("parametrization", ["pixels", "fourier"])
def test_the_frame_that_is_found_shows_what_a_linear_unit_likes_within_the_budget(parametrization: str) -> None:
    template = likes(4, 3)
    config = dataclasses.replace(QUIET, parametrization=parametrization)  # type: ignore[arg-type]
    told: list[int] = []
    found = maximize(lambda f: (f * template).sum((1, 2, 3)), MEAN, 50.0, 2.0, config, on_step=told.append)
    change = (found - MEAN) / 255
    assert told[-1] == 150 and change.abs().sum() <= 2.0 + 1e-3
    assert found.min() >= 0 and found.max() <= 255
    place = change[1].argmax()
    assert template[1].flatten()[place] == 1
    if parametrization == "pixels":  # all of the budget on the four pixels that count, up to white
        assert change[1, 4:6, 3:5].sum() == pytest.approx(2.0, abs=0.01)


def test_penalties_pull_the_frame_back_and_stacks_apart_flicker_less() -> None:
    template = likes(4, 3)

    def value(frames: torch.Tensor) -> torch.Tensor:
        return (frames * template).sum((1, 2, 3))

    free, held, still = (
        maximize(value, MEAN, 5_000.0, 50.0, dataclasses.replace(QUIET, rate=2, **setting)) - MEAN
        for setting in ({}, {"l2": 30.0}, {"time": 30.0})
    )
    assert held.abs().sum() < 0.5 * free.abs().sum()
    assert (still[1] - still[0]).abs().sum() < 0.8 * (free[1] - free[0]).abs().sum()


def test_the_projection_is_the_nearest_point_of_the_ball() -> None:
    change = torch.tensor([0.9, -0.5, 0.1, 0.0, 0.3])
    found = projected(change, 1.0)
    nearest = minimize(
        lambda x: np.square(x - change.numpy()).sum(),
        np.zeros(5),
        constraints={"type": "ineq", "fun": lambda x: 1.0 - np.abs(x).sum()},
    )
    assert found.numpy() == pytest.approx(nearest.x, abs=1e-3) and found.abs().sum() == pytest.approx(1)
    assert torch.equal(projected(change, 5.0), change)


def test_waves_are_a_plain_inverse_transform_where_all_lengths_are_1() -> None:
    spectrum = torch.randn(1, 1, 6, 5, 2, generator=torch.Generator().manual_seed(0))
    length = np.hypot(np.fft.fftfreq(6)[:, None], np.fft.rfftfreq(8)[None])
    scaled = torch.view_as_complex(spectrum).numpy() / np.maximum(length, 1 / 8)
    assert waves(spectrum, 6, 8).numpy() == pytest.approx(np.fft.irfft2(scaled, (6, 8), norm="ortho"), abs=1e-5)


def test_blur_keeps_the_sum_and_shifts_move_whole_pixels() -> None:
    dot = torch.zeros(1, 2, 15, 15)
    dot[0, 1, 7, 7] = 1
    soft = blurred(dot, 1.0)
    assert float(soft.sum()) == pytest.approx(1, abs=1e-5) and float(soft[0, 1, 7, 7]) == pytest.approx(
        0.159, abs=0.002
    )
    generator = torch.Generator().manual_seed(0)
    places = {tuple(shifted(dot, 2, generator)[0, 1].nonzero()[0].tolist()) for _ in range(200)}
    assert places == {(y, x) for y in range(5, 10) for x in range(5, 10)}
    assert distance(dot.byte(), torch.zeros(2, 15, 15)) == pytest.approx(1 / 255)


def test_a_dream_shows_more_of_what_a_layer_sees() -> None:
    bars = torch.tensor([[-1.0, 2.0, -1.0]] * 3)[None, None] / 255
    frame = 100 + 20 * torch.rand(1, 30, 28, generator=torch.Generator().manual_seed(0))

    def maps(frames: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(frames, bars)

    config = dataclasses.replace(QUIET, steps=10, octaves=2, jitter=1)
    found = dream(maps, frame, config)
    assert found.shape == frame.shape and found.min() >= 0 and found.max() <= 255
    assert float(maps(found[None]).relu().square().mean()) > 4 * float(maps(frame[None]).relu().square().mean())
    across, along = (found.diff(dim=dim).abs().mean() for dim in (2, 1))
    assert across > 2 * along  # upright bars
