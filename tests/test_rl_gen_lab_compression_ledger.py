"""The ledger: ratios, the file, and what is said when a compression is interrupted."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from rl_gen_lab.cli.errors import DivergedError
from rl_gen_lab.compression.ledger import carry_out, describe, with_ratios
from rl_gen_lab.compression.measured import Row
from rl_gen_lab.compression.pipeline import Pipeline
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker

BASE: Row = {"bytes": 8_000, "one_network_bytes": 4_000, "score": 20.5}
STAGES: list[Row] = [
    {"stage": 1, "kind": "prune", "settings": "kept=0.3", "bytes": 1_000, "nonzero": 7, "score": 20.0},
    {"stage": 2, "kind": "quantize", "settings": "bits=4", "bytes": 300, "nonzero": 6, "score": 19.0},
]


class Steps:
    """A pipeline of rows that are known; `during` happens before each of them."""

    def __init__(self, run: RunFolder, during: Callable[[int], None] = lambda stage: None) -> None:
        self.run_folder, self.during = run, during
        self.objective = self
        self.rows: list[Row] = []
        self.stage, self.saves = 0, 0
        self.way_on = "stage 1 goes on from update 0"

    def in_words(self, row: Row) -> str:
        return f"score {row['score']}"

    def save(self) -> None:
        self.saves += 1

    def run(self) -> list[Row]:
        for row in STAGES[self.stage :]:
            self.during(self.stage)
            self.rows.append(row)
            self.stage += 1
        return self.rows


class Recorded(Tracker):
    """A tracker that keeps its tables and exit code."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(run, "compress", 0.0)
        self.tables: list[tuple[Any, ...]] = []
        self.code: int | None = None
        self.alerts: list[BaseException | None] = []

    def table(self, name: str, columns: Any, rows: Any) -> None:
        self.tables.append((name, columns, rows))

    def finish(self, exit_code: int) -> None:
        self.code = exit_code

    def print_dashboard_hint(self) -> None:
        pass

    def alert_of(self, error: BaseException | None) -> None:
        self.alerts.append(error)


def carry(steps: Steps, base: Callable[[], Row] = lambda: dict(BASE)) -> tuple[list[Row], Recorded]:
    tracker = Recorded(steps.run_folder)
    return carry_out(cast(Pipeline, steps), {"as it is": base}, tracker, "agents.compress"), tracker


def test_ratios_are_those_to_one_network_and_to_all() -> None:
    rows = with_ratios([{"stage": 0, "kind": "as it is"} | BASE, *STAGES])
    assert [row["ratio"] for row in rows] == [0.5, 4.0, 13.33]
    assert [row["ratio_all_networks"] for row in rows] == [1.0, 8.0, 26.67]
    assert len({tuple(row) for row in rows}) == 1  # the same columns in the same order
    assert rows[0]["nonzero"] == "" and rows[1]["one_network_bytes"] == ""
    (alone,) = with_ratios([{"stage": 0, "bytes": 500}])
    assert alone["ratio"] == alone["ratio_all_networks"] == 1.0


def test_a_whole_compression_is_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    rows, tracker = carry(Steps(run))
    assert rows == with_ratios([{"stage": 0, "kind": "as it is", "settings": ""} | BASE, *STAGES])
    with (run.path / "ledger.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert written == [{key: str(value) for key, value in row.items()} for row in rows]
    assert b"\r" not in (run.path / "ledger.csv").read_bytes()
    assert run.read_result() == {"status": "finished", "ledger": rows}
    cells = [[None if value == "" else value for value in row.values()] for row in rows]
    assert tracker.tables == [("ledger", list(rows[0]), cells)] and tracker.code == 0
    assert capsys.readouterr().out == "as it is: 8,000 bytes, score 20.5\n"


def test_a_continued_compression_does_not_measure_the_base_again(tmp_path: Path) -> None:
    steps = Steps(RunFolder(tmp_path))
    steps.rows, steps.stage = [{"stage": 0, "kind": "as it is", "settings": ""} | BASE, STAGES[0]], 1

    def base() -> Row:
        raise AssertionError

    rows, _ = carry(steps, base)
    assert [row["stage"] for row in rows] == [0, 1, 2]


def test_an_interrupted_compression_says_in_one_line_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(stage: int) -> None:
        if stage == 1:
            steps.way_on = "stage 2 goes on from update 4,000"
            raise KeyboardInterrupt

    (tmp_path / "a run").mkdir()
    steps = Steps(RunFolder(tmp_path / "a run"), interrupt)
    tracker = Recorded(steps.run_folder)
    with pytest.raises(SystemExit) as end:
        carry_out(cast(Pipeline, steps), {"as it is": lambda: dict(BASE)}, tracker, "agents.compress")
    assert end.value.code == 130 and tracker.code == 130
    line = capsys.readouterr().out.splitlines()[1:]
    assert len(line) == 1
    assert line[0].startswith("interrupted; stage 2 goes on from update 4,000. Resume with: ")
    assert line[0].endswith(f"-m agents.compress --resume '{tmp_path / 'a run'}'")
    assert not (steps.run_folder.path / "ledger.csv").exists()
    assert steps.run_folder.read_result() == {"status": "interrupted"}


def test_the_request_to_terminate_interrupts_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(RunFolder(tmp_path), lambda stage: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as end:
        carry(steps)
    assert end.value.code == 130 and "Resume with: " in capsys.readouterr().out


def test_the_network_to_begin_with_has_a_row_of_its_own(tmp_path: Path) -> None:
    begun: Row = {"bytes": 900, "score": 19.5}
    bases = {"as it is": lambda: dict(BASE), "start": lambda: dict(begun)}
    steps = Steps(RunFolder(tmp_path))
    steps.rows = [{"stage": 0, "kind": "as it is", "settings": ""} | BASE]  # it was interrupted after the first
    rows = carry_out(cast(Pipeline, steps), bases, Recorded(steps.run_folder), "agents.compress")
    assert [(row["stage"], row["kind"]) for row in rows[:2]] == [(0, "as it is"), (0, "start")]
    assert [row["ratio"] for row in rows[:3]] == [0.5, 4.44, 4.0]


def test_there_is_something_to_go_on_with_when_the_base_is_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = Steps(RunFolder(tmp_path))

    def base() -> Row:
        assert steps.saves == 1
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        carry(steps, base)
    assert "stage 1 goes on from update 0" in capsys.readouterr().out


def test_other_ends_are_not_an_interruption(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def diverge(stage: int) -> None:
        raise DivergedError("the loss became nan")

    steps = Steps(RunFolder(tmp_path), diverge)
    tracker = Recorded(steps.run_folder)
    with pytest.raises(DivergedError):
        carry_out(cast(Pipeline, steps), {"as it is": lambda: dict(BASE)}, tracker, "agents.compress")
    assert tracker.code == 1 and [str(error) for error in tracker.alerts] == ["the loss became nan"]
    result = steps.run_folder.read_result()
    assert result["status"] == "failed" and "the loss became nan" in result["error"]
    assert "Resume" not in capsys.readouterr().out  # it would diverge again


def test_the_last_lines_name_the_ledger_and_the_smallest_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = with_ratios([{"stage": 0, "kind": "as it is", "bytes": 10}, *STAGES])
    ledger, smallest = describe(rows, RunFolder(Path("run")), "-m agents.play").splitlines()
    assert ledger == "run/ledger.csv"
    assert smallest.startswith("the smallest file: ")
    assert smallest.endswith("-m agents.play run/stage2_quantize.rlz")
