"""What a training says of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from rl_gen_lab.distributed.group import Group
from rl_gen_lab.training.loop import Loop
from rl_gen_lab.training.record import formatted, log_update, memory_of_ranks


class TwoProcesses(Group):
    """A group that hears of a second process what this one says."""

    def named(self, name: str, value: float) -> dict[str, float]:
        return {f"ranks/{rank}/{name}": value for rank in range(2)}


def loop_of(group: Group) -> tuple[Loop, list[tuple[dict[str, float], int]]]:
    network, lines = nn.Linear(512, 512, bias=False), []  # type: ignore[var-annotated]
    tracker = SimpleNamespace(log=lambda numbers, step: lines.append((numbers, step)))
    made: Any = SimpleNamespace(group=group, task=SimpleNamespace(network=network), tracker=tracker, updates=7, epoch=2)
    made.optimizer = torch.optim.SGD(network.parameters(), 0.1)
    return cast(Loop, made), lines


def test_one_process_has_no_memory_of_ranks() -> None:
    assert memory_of_ranks(loop_of(Group())[0]) == {}


def test_each_of_several_processes_says_what_it_holds() -> None:
    numbers = memory_of_ranks(loop_of(TwoProcesses())[0])
    assert numbers["ranks/1/parameters_mb"] == 1.0 and numbers["ranks/0/optimizer_mb"] == 0.0
    assert numbers["ranks/0/peak_memory_mb"] > 10 and len(numbers) == 6


def test_a_line_of_an_update() -> None:
    loop, lines = loop_of(Group())
    log_update(loop, {"loss": torch.tensor(0.5)}, 2.0, 10.0)
    expected = {"losses/loss": 0.5, "losses/grad_norm": 2.0, "charts/epoch": 2, "charts/learning_rate": 0.1}
    assert lines == [(expected, 7)]


@pytest.mark.parametrize(("metrics", "words"), [({}, ""), ({"a": 0.12344, "b": 2.0}, "a 0.1234 · b 2")])
def test_metrics_in_words(metrics: dict[str, float], words: str) -> None:
    assert formatted(metrics) == words
