"""Signs of life: who counts on lives, who stands still too long is gone, who starts is waited for."""

from __future__ import annotations

import pytest

from agents.training import rollout_pulse
from agents.training.rollout_pulse import Pulse


def test_only_a_count_that_stands_still_for_longer_than_the_time_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(rollout_pulse.time, "monotonic", lambda: now[0])
    pulse = Pulse(2, 10.0)

    def at(seconds: float, *counts: int) -> list[bool]:
        now[0] = 100.0 + seconds
        return [pulse.stands_still(number, count) for number, count in enumerate(counts)]

    assert at(9, 0, 1) == [False, False]
    assert at(11, 0, 1) == [True, False]  # the first never gave any
    assert at(20, 1, 1) == [False, True]
    pulse.begin(1)
    assert at(1_000, 1, 1) == [True, False]  # the second starts anew, which may take long
    assert at(1_001, 1, 2) == [True, False]
    assert at(1_012, 1, 2) == [True, True]
    assert pulse.words == "no sign of life for 10 s"
