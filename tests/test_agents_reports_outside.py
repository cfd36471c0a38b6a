"""The table of agents inside and outside, and Spearman's rank correlation."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from agents.reports.outside import rank_correlation, section
from agents.reports.store import ResultsError


def row(steps: int, inside: float, outside: float) -> dict[str, str]:
    values = {"agent": "ppo trained on dreams/Pong_1", "env_steps": steps, "return_inside": inside, "std_inside": 1}
    values |= {"return_outside": outside, "std_outside": 2, "episodes": 20, "dream_run": "d", "sticky": 0}
    return {name: str(value) for name, value in (values | {"game": "ALE/Pong-v5", "training_seed": 1}).items()}


def test_agents_are_ranked_by_what_they_do_outside(tmp_path: Path) -> None:
    rows = [row(10, -9.0, -20.0), row(3_000, -1.0, -5.0), row(200, -8.0, -19.0)]
    with (tmp_path / "dreams.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = section(tmp_path / "dreams.csv")
    assert "20 episodes inside and outside each; rank correlation 1.00:" in text
    lines = [line for line in text.splitlines() if line.startswith("| ppo")]
    assert [line.split("|")[3].strip() for line in lines] == ["3,000", "200", "10"]
    assert lines[0].split("|")[2:6] == [" dreams ", " 3,000 ", " -1.0 ± 1 ", " -5.0 ± 2 "]


def test_another_csv_is_refused_and_none_is_said(tmp_path: Path) -> None:
    assert "Not recorded yet" in section(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="does not record agents inside"):
        section(tmp_path / "other.csv")


def test_ranks_are_compared_by_spearman() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 300]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [2, 1, 4, 3]) == pytest.approx(0.6)
    assert rank_correlation([1, 1, 2], [1, 2, 3]) == pytest.approx(math.sqrt(3) / 2)
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
