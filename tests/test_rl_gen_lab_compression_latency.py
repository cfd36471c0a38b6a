"""Latency: who is called when, medians of two clocks, and torch as an engine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rl_gen_lab.compression import latency
from rl_gen_lab.compression.latency import WARM_UP, Latency, measure, torch_engine

EXAMPLE = np.ones((1, 4), np.float32)


def test_engines_warm_up_and_then_take_turns_in_every_round() -> None:
    calls: list[tuple[str, Any]] = []

    def engine(name: str) -> latency.Engine:
        def run(example: np.ndarray) -> np.ndarray:
            calls.append((name, example))
            return example

        return run

    found = measure({name: engine(name) for name in "abc"}, EXAMPLE, rounds=4)
    names = "".join(name for name, _ in calls)
    assert names == "a" * WARM_UP + "b" * WARM_UP + "c" * WARM_UP + "aabbcc" * 4  # untimed, timed
    assert all(example is EXAMPLE for _, example in calls)
    assert list(found) == ["a", "b", "c"]


def test_the_median_of_each_clock_is_taken_for_each_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that only engines move: neither untimed calls nor a burst of load are in the medians."""
    clocks = {"wall": 100.0, "process": 5.0}
    monkeypatch.setattr(time, "perf_counter", lambda: clocks["wall"])
    monkeypatch.setattr(time, "process_time", lambda: clocks["process"])

    def engine(wall: list[float], process: list[float]) -> latency.Engine:
        untimed = (9.0, 9.0)
        rounds = [step for timed in zip(wall, process, strict=True) for step in (untimed, timed)]
        steps = iter([untimed] * WARM_UP + rounds)

        def run(example: np.ndarray) -> np.ndarray:
            more_wall, more_process = next(steps)
            clocks["wall"] += more_wall
            clocks["process"] += more_process
            return example

        return run

    engines = {"slow": engine([8.0, 0.5, 0.25], [0.125, 4.0, 0.25]), "fast": engine([0.5, 0.5, 0.5], [0.0, 0.0, 1.0])}
    assert measure(engines, EXAMPLE, rounds=3) == {"slow": Latency(250.0, 500.0), "fast": Latency(0.0, 500.0)}


def test_sleep_takes_the_clock_s_time_and_work_the_processor_s() -> None:
    def sleep(example: np.ndarray) -> np.ndarray:
        time.sleep(0.01)
        return example

    def work(example: np.ndarray) -> np.ndarray:
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass
        return example

    found = measure({"sleep": sleep, "work": work}, EXAMPLE, rounds=5)
    assert found["sleep"].wall_ms >= 10 > 5 > found["sleep"].process_ms >= 0
    assert found["work"].wall_ms >= 9 and 10 <= found["work"].process_ms < 15


def test_torch_engines_give_positive_figures() -> None:
    network = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    engines = {str(dtype): torch_engine(network, dtype) for dtype in (torch.float32, torch.bfloat16)}
    for figures in measure(engines, EXAMPLE, rounds=5).values():
        assert 0 < figures.process_ms < 1000 and 0 < figures.wall_ms < 1000


class Recorder(nn.Module):
    """A layer that notes in what mode and type it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.seen: list[tuple[bool, torch.dtype]] = []

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        self.seen.append((torch.is_inference_mode_enabled(), y.dtype))
        return y


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_torch_engine_computes_in_its_type_without_gradients(dtype: torch.dtype) -> None:
    network = Recorder()
    observations = np.random.default_rng(0).standard_normal((7, 4), np.float32)
    observations.flags.writeable = False  # as arrays from files are
    outputs = torch_engine(network, dtype)(observations)
    assert network.seen == [(True, dtype)] and outputs.dtype == np.float32
    weight, bias = (parameter.detach().double().numpy() for parameter in network.layer.parameters())
    exact = observations.astype(np.float64) @ weight.T + bias
    error = np.abs(outputs - exact).max()
    assert error < 1e-5 if dtype == torch.float32 else 1e-5 < error < 0.05


def test_float32_is_float32_inside_a_caller_s_autocast() -> None:
    network = Recorder()
    with torch.autocast("cpu", torch.bfloat16):
        torch_engine(network)(EXAMPLE)
    assert network.seen == [(True, torch.float32)]
