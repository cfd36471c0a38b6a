"""How long a network takes for one observation, by engine: torch, ONNX Runtime or any other function of arrays."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

Engine = Callable[[np.ndarray], np.ndarray]  # (B, *shape) of any type -> (B, ...) float32

WARM_UP = 3  # calls of each engine before the first that counts: memory is taken and kernels are chosen in them


@dataclass(frozen=True)
class Latency:
    """Medians for one call. process_ms: time of the processor, all threads of the process; wall_ms: of the clock."""

    process_ms: float
    wall_ms: float


def measure(engines: Mapping[str, Engine], example: np.ndarray, rounds: int = 30) -> dict[str, Latency]:
    """Return the medians of one call over the rounds, by name of the engine.

    Every round times each engine once, in order: a machine that is busy for a while is so for all of them. Just before,
    the engine is called untimed, so that its figure does not depend on how much of the processor's caches the engine
    before it took: without this call, figures of small networks are up to four times as high.
    example: what an engine gets, (1, *shape) for one observation. rounds: at least 1.
    """
    for engine in engines.values():
        for _ in range(WARM_UP):
            engine(example)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            engine(example)
            times[name].append(_time(engine, example))
    return {name: Latency(*map(statistics.median, zip(*pairs, strict=True))) for name, pairs in times.items()}


def torch_engine(network: nn.Module, dtype: torch.dtype = torch.float32) -> Engine:
    """Return torch's eager mode as an engine: (B, *shape) -> the network's output, float32, without gradients.

    network: on the CPU, in evaluation mode, one tensor to one tensor. It uses as many threads as torch does by then.
    dtype: float32, or bfloat16 for layers in that type (autocast), whose weights are converted at every call.
    """

    @torch.inference_mode()
    def run(observations: np.ndarray) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            output: np.ndarray = network(torch.tensor(observations)).float().numpy()
        return output

    return run


def _time(engine: Engine, example: np.ndarray) -> tuple[float, float]:
    """Return the time of one call, of the process and of the clock [ms]."""
    wall, process = time.perf_counter(), time.process_time()
    engine(example)
    return 1e3 * (time.process_time() - process), 1e3 * (time.perf_counter() - wall)
