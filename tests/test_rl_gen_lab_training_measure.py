"""Measurements of a task: the time of an image, gradients off, threads restored."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import vision_data
from torch import Tensor, nn

from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.training.measure import measure_latency_ms, measure_split

CPU = torch.device("cpu")


class SlowTask:
    """A task that works for 3 ms and waits for 20 ms on each image."""

    target_metric = "score"

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)
        self.conditions: set[tuple[bool, bool, int]] = set()

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def predict(self, images: Tensor) -> Any:
        self.conditions.add((torch.is_grad_enabled(), self.network.training, torch.get_num_threads()))
        until = time.thread_time() + 0.003
        while time.thread_time() < until:
            pass
        time.sleep(0.02)

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        for i in range(len(split)):
            self.predict(split.images[i : i + 1])
            on_image(i + 1)
        return {"score": 0.5}


def test_a_split_is_measured_without_gradients_and_reports_its_images() -> None:
    task, done = SlowTask(), list[int]()
    metrics = measure_split(task, vision_data.eight(), DeviceConfig(), CPU, done.append)
    assert metrics.pop("score") == 0.5 and metrics.keys() == {"ms_per_image"}
    assert metrics["ms_per_image"] > 23 and done == list(range(1, 9))
    assert {(grad, training) for grad, training, _ in task.conditions} == {(False, False)}


def test_latency_is_processor_time_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    task, threads = SlowTask(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        latency = measure_latency_ms(task, vision_data.eight(), DeviceConfig(), CPU)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert 3 <= latency < 15, "the wait of 20 ms does not count"
    assert task.conditions == {(False, False, 1)}
