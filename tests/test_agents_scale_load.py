"""The load test itself, short and with few actors: nothing is lost, and its row says what it says."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agents import scale_load

pytestmark = pytest.mark.slow


def test_everything_that_is_ordered_comes_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--actors", "30", "--feeders", "2", "--seconds", "1", "--chunk-steps", "16", "--restart-rollouts", "3"]
    scale_load.main([*words, "--recorded-chunks", "2", "--game", "CartPole", "--results-dir", str(tmp_path)])
    (row,) = csv.DictReader((tmp_path / "scale_load.csv").read_text().splitlines())
    assert row["lost_chunks"] == "0" and int(row["chunks"]) >= 30 and int(row["chunks"]) % 30 == 0
    assert int(row["dropped_chunks"]) % 30 == 0 and float(row["steps_per_second"]) > 0
    assert float(row["memory_mb_end"]) > 50 and row["command"].startswith("python -m agents.scale_load")
    assert "0 lost_chunks" in capsys.readouterr().out
