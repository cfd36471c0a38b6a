"""The part of a document about a benchmark follows from its CSV."""

from pathlib import Path

import pytest
from result_rows import cartpole_row, rows_of

from agents.reports.benchmark import compare_cells, losses_text, reasons_without_a_cell, section
from agents.reports.benchmark_figure import is_current
from agents.reports.recorded_runs import COLUMNS, record
from agents.reports.store import ResultsError, Row, write_csv


@pytest.fixture
def template(tmp_path: Path) -> Row:
    return cartpole_row(tmp_path)


def test_only_the_same_algorithm_on_the_same_task_and_budget_is_compared(template: Row) -> None:
    rows = rows_of(template, "ppo", 10) + rows_of(template, "sb3_ppo", 50)
    rows += rows_of(template, "dqn", 10) + rows_of(template, "sb3_a2c", 50)
    rows += rows_of(template, "dqn", 10, fingerprint="other") + rows_of(template, "sb3_dqn", 50, what="more steps")
    losses, both = compare_cells(rows)
    assert both == 1
    assert [(loss.ours[0]["agent"], loss.difference.value) for loss in losses] == [("ppo", pytest.approx(-40))]
    assert losses[0].difference.high < 0


def test_a_cell_that_we_win_or_tie_is_not_listed_and_a_doubtful_one_says_so(template: Row) -> None:
    won = rows_of(template, "ppo", 50) + rows_of(template, "sb3_ppo", 10)
    tied = rows_of(template, "dqn", 50) + rows_of(template, "sb3_dqn", 50)
    assert losses_text(won + tied, {}) == "Stable-Baselines3 scores higher at the same budget in 0 of 2 cells.\n"
    close = rows_of(template, "ppo", 50) + rows_of(template, "sb3_ppo", 50.5)
    text = losses_text(close, {"CartPole-v1 ppo": "an honest reason"})
    assert "in 1 of 1 cells" in text and "may be chance" in text and "an honest reason" in text
    assert "not explained yet" in losses_text(close, {})


def test_reasons_are_read_from_beside_the_csv(tmp_path: Path, template: Row) -> None:
    file = tmp_path / "classic.csv"
    record(file, rows_of(template, "ppo", 10) + rows_of(template, "sb3_ppo", 50))
    (tmp_path / "reasons.toml").write_text('[classic]\n"CartPole-v1 ppo" = "fewer passes"\n')
    text = section(file, tmp_path)
    assert "fewer passes" in text and "classic.png" in text and "3 runs (seeds 1 2 3)" in text
    (tmp_path / "reasons.toml").write_text('[classic]\n"CartPole-v1 ppo" = """fewer\npasses"""\n')
    assert "| fewer passes |" in section(file, tmp_path)
    for wrong, message in (
        ("[classic\n", "cannot read"),
        ("classic = 3\n", "must be a table"),
        ('[classic]\n"CartPole-v1 ppo" = 3\n', "must be a table"),
    ):
        (tmp_path / "reasons.toml").write_text(wrong)
        with pytest.raises(ResultsError, match=message):
            section(file, tmp_path)


def test_a_benchmark_without_runs_says_how_to_make_them_and_needs_no_figure(tmp_path: Path) -> None:
    file = tmp_path / "classic.csv"
    write_csv(file, COLUMNS, [])
    assert section(file, tmp_path) == "Not run yet: `python -m agents.benchmark --suite classic`.\n"
    assert is_current(file)


def test_a_csv_that_records_no_runs_is_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "classic.csv").write_text("what,megabytes\nreplay,710\n")
    with pytest.raises(ResultsError, match="no benchmark"):
        section(tmp_path / "classic.csv", tmp_path)


def test_only_a_reason_for_a_cell_without_runs_is_reported(tmp_path: Path, template: Row) -> None:
    file = tmp_path / "classic.csv"
    record(file, rows_of(template, "ppo", 10))
    (tmp_path / "reasons.toml").write_text('[classic]\n"CartPole-v1 ppo" = "a"\n"CartPole-v1 pppo" = "b"\n')
    (line,) = reasons_without_a_cell(file)
    assert line.endswith("classic has no runs of 'CartPole-v1 pppo'. Did you mean 'CartPole-v1 ppo'?")
