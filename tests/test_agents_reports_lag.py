"""What a lag costs, as table and figure: medians over seeds, runs that never got there, and claims of another form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from result_rows import cartpole_row

from agents.reports.lag import draw, points, section, write_figure
from agents.reports.recorded_runs import COLUMNS
from agents.reports.store import ResultsError, Row, write_csv


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Three seeds at lag 0 and 64 of one agent, and one run of another."""
    template = cartpole_row(tmp_path) | {"threshold": "475", "env_steps": "100000"}
    steps = {"A, lag 64": ("", "60000", ""), "A, lag 0": ("20000", "10000", "15000"), "B, lag 0": ("30000",)}
    return [
        template | {"what": what, "seed": str(seed), "run": f"{what} {seed}", "steps_to_threshold": found}
        for what, all_of_them in steps.items()
        for seed, found in enumerate(all_of_them)
    ]


def test_each_lag_has_the_median_of_its_seeds(rows: list[Row]) -> None:
    found = points(rows)
    assert found == {
        "A": [(0, 15_000, 10_000, 20_000), (64, np.inf, 60_000, np.inf)],
        "B": [(0, 30_000, 30_000, 30_000)],
    }


def test_the_figure_has_a_line_for_each_agent_and_a_cross_where_most_never_got_there(
    rows: list[Row], tmp_path: Path
) -> None:
    axes = draw(rows).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["A", "B"]
    crosses = [line for line in axes.get_lines() if line.get_marker() == "x" and len(line.get_xdata())]  # type: ignore[arg-type]
    assert len(crosses) == 1 and crosses[0].get_ydata()[0] == pytest.approx(105_000)  # type: ignore[index]
    write_csv(tmp_path / "lag.csv", COLUMNS, rows)
    with Image.open(write_figure(tmp_path / "lag.csv")) as image:
        assert min(image.size) > 300


def test_a_claim_of_another_form_is_named(rows: list[Row]) -> None:
    with pytest.raises(ResultsError, match="'PPO' is no claim about a lag"):
        points([rows[0] | {"what": "PPO"}])


def test_the_table_has_a_row_for_each_agent_and_a_column_for_each_lag(rows: list[Row], tmp_path: Path) -> None:
    write_csv(tmp_path / "lag.csv", COLUMNS, rows)
    lines = section(tmp_path / "lag.csv").splitlines()
    assert lines[0] == "| agent | lag 0 | lag 64 |"
    assert lines[2] == "| A | **15,000** (10,000 to 20,000) | **never** (60,000 to never) |"
    assert lines[3] == "| B | **30,000** |  |"
    assert "median of 3 seeds (B: 1) with" in lines[5] and "not within 100,000 steps" in lines[5]
