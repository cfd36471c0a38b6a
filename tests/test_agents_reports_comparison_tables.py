"""Tables and verdicts of a comparison say what was measured, with the evidence."""

import dataclasses

import pytest
from synthetic_runs import three_runs

from agents.reports.comparison import Comparison
from agents.reports.comparison_tables import run_table, score_table, verdicts
from agents.reports.statistics import Estimate


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return three_runs(tmp_path_factory.mktemp("runs"))


def test_every_score_stands_beside_its_runs_and_episodes(comparison: Comparison) -> None:
    columns, rows = score_table(comparison)
    cells = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [(cell["agent"], cell["runs"], cell["episodes"]) for cell in cells] == [
        ("dqn", "2", "40"),
        ("sb3_dqn", "1", "20"),
    ]
    assert cells[0]["interval over"] == "runs and episodes" and cells[1]["interval over"] == "episodes"
    assert "(2 of 2 runs, by seed: 12.0 min, 12.0 min)" in cells[0]["to 18: median"]
    assert cells[1]["to 18: median"] == "not reached (0 of 1 run)"


def test_each_run_has_its_own_row_with_hardware_and_command(comparison: Comparison) -> None:
    columns, rows = run_table(comparison)
    assert len(rows) == 3 and all(len(row) == len(columns) for row in rows)
    first = dict(zip(columns, rows[0], strict=True))
    assert first["hardware"] == "Test CPU, 2 cores, 8 GB, no GPU"
    assert first["command"].startswith("python -m agents.dqn") and first["commit"] == "0123456789"


def test_a_gap_whose_interval_holds_zero_is_no_lead(comparison: Comparison) -> None:
    assert "dqn is ahead of sb3_dqn" in verdicts(comparison)[0]
    unsure = Estimate(1.0, -0.5, 2.0, 3, 60, "runs and episodes")
    doubtful = dataclasses.replace(comparison, differences=[("a", "b", unsure)])
    assert verdicts(doubtful)[0].startswith("a and b cannot be told apart")
