"""The audit: a model that knows its world is right at every step, its controls are not, and events are counted once."""

from __future__ import annotations

from typing import Any

import dot_world
import numpy as np
import pytest
import torch

from rl_gen_lab.generators.world_models import audit, recording
from rl_gen_lab.generators.world_models.audit import Audit, Errors

HORIZON = 6


class DotReader:
    """Finds the dot; everything else is background."""

    categories = ("dot",)
    covered = np.ones((32, 32), bool)
    free = np.zeros((3, 32, 32), bool)

    def read(self, numbers: np.ndarray) -> dict[str, list[tuple[float, float]]]:
        rows, columns = np.nonzero(numbers == 1)
        return {"dot": [(float(columns.mean()), float(rows.mean()))] if len(rows) else []}


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(audit, "TRUE_STEPS", 8)
    task, _ = dot_world.learned()
    data = recording.load(dot_world.folder(), 1, audit.TRUE_STEPS + HORIZON)
    reader: Any = DotReader()
    return Audit(task.model, reader, data.splits["train"]).run(12, 4, 0.0)


def test_a_dream_that_is_right_is_right_at_every_horizon(result: dict[str, Any]) -> None:
    assert result["usable_horizon"] == 5 and result["dreams"] == 12
    for summary in result["objects"]["dream"].values():
        assert summary["dot"]["median_px"] == 0 and summary["dot"]["vanished"] == 0 == summary["dot"]["doubled"]
    assert set(result["wrong_pixels"]["dream"].values()) == {0.0}
    assert result["rewards"]["told"] == 1 and result["rewards"]["false_per_1000"] == 0


def test_the_controls_are_worse_than_the_dream(result: dict[str, Any]) -> None:
    for control in ("last frame repeated", "shuffled actions"):
        assert result["objects"][control]["5"]["dot"]["median_px"] > 4, control
        assert result["wrong_pixels"][control]["5"] > 10


def test_errors_count_what_is_lost_doubled_and_invented() -> None:
    errors = Errors()
    errors.add([(0.0, 0.0)], [(3.0, 4.0)])
    errors.add([(0.0, 0.0)], [])
    errors.add([(0.0, 0.0)], [(1.0, 0.0), (9.0, 9.0)])
    errors.add([], [(1.0, 1.0)])
    summary = errors.summary()
    assert summary["dreams"] == 3 and summary["median_px"] == 3 and errors.invented == 1
    assert summary["vanished"] == summary["doubled"] == 1 / 3


def test_events_are_told_within_two_steps_and_each_once() -> None:
    real = np.array([[0, 1, 0, 0, 0, 0, -1, 0, 0, 0]])
    assert audit._count_events(real, np.array([[0, 0, 0, 1, 0, 0, -1, 0, 0, 0]])) == (2, 2, 10, 0)
    assert audit._count_events(real, np.array([[0, 0, 0, 0, 1, 0, 1, 0, 0, 0]])) == (2, 0, 10, 2)
    assert audit._count_events(np.zeros((1, 5)), np.array([[0, 1, 0, 0, 0]])) == (0, 0, 5, 1)


def test_an_untrained_memory_changes_the_recurrent_layers_alone() -> None:
    task, _ = dot_world.learned()
    other: Any = audit.untrained_memory(task.model)
    for (name, one), two in zip(task.model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two) != name.startswith("gru."), name
