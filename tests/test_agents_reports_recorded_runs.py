"""A run is recorded once, with what it measured; a CSV with a wrong row is refused."""

from pathlib import Path

import pytest
from result_rows import cartpole_row, recorded, rows_of
from synthetic_runs import make_run

from agents.reports.recorded_runs import COLUMNS, read_checked, read_runs, record, row_of
from agents.reports.run_record import RunDataError, load_run
from agents.reports.store import ResultsError, Row, write_csv


@pytest.fixture
def template(tmp_path: Path) -> Row:
    return cartpole_row(tmp_path)


def test_a_row_holds_what_the_run_measured(tmp_path: Path) -> None:
    row = row_of(load_run(make_run(tmp_path, solved_at=80_000, steps=200_000, minutes=20)), "claim")
    assert tuple(row) == COLUMNS
    assert (row["what"], row["agent"], row["seed"], row["env_steps"]) == ("claim", "dqn", "1", "200000")
    assert (row["minutes"], row["updates"], row["threads"]) == ("20.0", "100000", "1")
    assert row["threshold"] == "18"
    assert float(row["minutes_to_threshold"]) == pytest.approx(int(row["steps_to_threshold"]) / 10_000)
    assert len(row["eval_returns"].split()) == int(row["eval_episodes"]) == 20
    assert row["versions"] == "torch=2.13.0 gymnasium=1.4.0"


def test_a_score_never_reached_leaves_the_cells_empty(tmp_path: Path) -> None:
    row = row_of(load_run(make_run(tmp_path, solved_at=900_000)), "claim")
    assert (row["steps_to_threshold"], row["minutes_to_threshold"]) == ("", "")


def test_a_threshold_given_replaces_the_known_one(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, solved_at=80_000))
    low, high = row_of(run, "claim", 0.0), row_of(run, "claim", 18.0)
    assert (low["threshold"], high["threshold"]) == ("0", "18")
    assert int(low["steps_to_threshold"]) < int(high["steps_to_threshold"])


@pytest.mark.parametrize("status", ["interrupted", "failed", None])
def test_only_finished_runs_are_recorded(tmp_path: Path, status: str | None) -> None:
    with pytest.raises(RunDataError, match="only finished runs"):
        row_of(load_run(make_run(tmp_path, status=status)), "claim")


def test_recording_a_run_again_replaces_its_row_and_keeps_the_others(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    before = file.read_text()
    rows = read_runs(file)
    record(file, [rows[1]])
    assert file.read_text() == before
    record(file, [{**rows[1], "what": "another claim"}])
    assert [row["what"] for row in read_runs(file)] == [
        "Pong on 2 cores",
        "another claim",
        "Pong on 2 cores",
    ]


def test_a_file_with_other_columns_is_not_overwritten(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    rows = read_runs(file)
    other = tmp_path / "results" / "memory.csv"
    other.write_text("what,megabytes\nreplay,710\n")
    with pytest.raises(ResultsError, match="other columns"):
        record(other, rows)
    assert other.read_text() == "what,megabytes\nreplay,710\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "one"}, "row 2: seed is 'one'"),
        ({"minutes": ""}, "row 2: minutes is ''"),
        ({"eval_returns": ""}, "row 2: eval_returns"),
        ({"eval_returns": "1 nan"}, "row 2: eval_returns"),
        ({"eval_episodes": "1.5"}, "row 2: eval_episodes"),
        ({"threshold": "high"}, "row 2: threshold"),
        ({"minutes_to_threshold": "soon"}, "row 2: minutes_to_threshold"),
    ],
)
def test_a_row_that_nothing_can_be_computed_from_is_named(
    tmp_path: Path, template: Row, change: Row, message: str
) -> None:
    file = tmp_path / "classic.csv"
    write_csv(file, COLUMNS, [template | {"threshold": ""} | change])
    with pytest.raises(ResultsError, match=message):
        read_checked(file)


def test_a_run_that_stands_twice_is_named_and_not_counted_twice(tmp_path: Path, template: Row) -> None:
    file = tmp_path / "classic.csv"
    write_csv(file, COLUMNS, [*rows_of(template, "ppo", 10), rows_of(template, "ppo", 10)[0]])
    with pytest.raises(ResultsError, match="rows 2 and 5 are of the same run"):
        read_runs(file)
