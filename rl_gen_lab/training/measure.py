"""Measurements of a task: the metrics of a split and the latency of an image."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.training.task import Part, Task

LATENCY_IMAGES = 50  # images that the latency is the median of


def measure_split(
    task: Task, split: Part, config: DeviceConfig, device: torch.device, on_image: Callable[[int], None]
) -> dict[str, float]:
    """Evaluate the task on a split, without gradients; also `ms_per_image`."""
    task.network.eval()
    started = time.monotonic()
    with torch.no_grad(), config.autocast(device):
        metrics = task.evaluate(split, on_image)
    return metrics | {"ms_per_image": 1_000 * (time.monotonic() - started) / len(split)}


def measure_latency_ms(task: Task, split: Part, config: DeviceConfig, device: torch.device) -> float:
    """Median milliseconds to predict a single image, from its pixels to what a user gets, with one thread.

    On a CPU it is the processor time of this thread, so that other work on the machine does not count.
    """
    threads, milliseconds = torch.get_num_threads(), []
    now = time.thread_time if device.type == "cpu" else time.perf_counter
    task.network.eval()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), config.autocast(device):
            for image in split.images[:LATENCY_IMAGES]:
                started = now()
                task.predict(image[None])
                milliseconds.append(1_000 * (now() - started))
    finally:
        torch.set_num_threads(threads)
    return statistics.median(milliseconds)
