"""The benchmark runs each cell once, on equal terms, records it as it is finished, and goes on after a stop."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import make_run

from agents import benchmark
from agents.benchmark import Config, cell_of, cells_of, seconds_left
from agents.experiments import launcher, suites
from agents.experiments.jobs import Job, parse_agent, user_flags
from agents.experiments.suites import SUITES
from agents.reports.recorded_runs import read_runs, record, row_of
from agents.reports.run_record import load_run
from agents.reports.store import Row
from agents.reports.tasks import BenchmarkTask
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED


class Runs:
    """Stands in for the training runs: each is made at once, or ends with an exit code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[tuple[str, str, int]] = []
        self.codes: dict[tuple[str, int], int] = {}
        monkeypatch.setattr(launcher, "_start", self.start)

    def start(self, words: Sequence[str], job: Job, lock: Any, logs: Path | None) -> subprocess.Popen[bytes]:
        assert logs is not None
        self.started.append((job.agent.exp_name, job.env, job.seed))
        code = self.codes.get((job.agent.exp_name, job.seed), 0)
        if not code:
            better = 300_000 if job.agent.exp_name.startswith("sb3") else 60_000
            make_run(
                job.runs_dir,
                job.agent.exp_name,
                job.seed,
                env_id=job.env_id,
                steps=9000,
                solved_at=better,
                minutes=3.0,
                settings={"run": {"total_minutes": job.minutes}},
                command=[f"python -m {job.agent.module}", *words[3:]],
            )
        return subprocess.Popen([sys.executable, "-S", "-c", f"raise SystemExit({code})"])


def flags(tmp_path: Path, *more: str) -> list[str]:
    words = ["--suite", "classic", "--tasks", "CartPole", "Pendulum", "--seeds", "2", *more]
    places = ["--runs-dir", str(tmp_path / "runs"), "--results-dir", str(tmp_path / "results")]
    return [*words, *places, "--wandb.mode", "disabled"]


def rows(tmp_path: Path) -> list[Row]:
    return read_runs(tmp_path / "results" / "classic.csv")


def test_every_agent_that_applies_is_run_on_each_task_seed_by_seed() -> None:
    cells = cells_of(Config(tasks=("CartPole", "Pendulum"), seeds=2))
    names = [(cell.job.agent.exp_name, cell.job.env) for cell in cells if cell.job.seed == 1]
    assert names[:7] == [
        (name, "CartPole") for name in ("dqn", "reinforce", "actor_critic", "ppo", "sb3_dqn", "sb3_a2c", "sb3_ppo")
    ]
    assert names[7:] == [
        (name, "Pendulum") for name in ("reinforce", "actor_critic", "ppo", "sb3_a2c", "sb3_ppo")
    ]  # no DQN where actions are numbers
    assert [cell.job.seed for cell in cells] == [1] * 12 + [2] * 12


def test_the_flags_of_a_cell_are_read_by_ours_and_by_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parsed(Exception):
        pass

    def open_run(spec: Any, group: Any) -> None:
        config = spec.config
        assert (config.total_env_steps, config.eval.every_env_steps, config.eval.final_episodes) == (3000, 200, 100)
        assert config.run.stop_at_return == 500 and config.eval.epsilon == 0 and not config.run.film
        raise Parsed

    monkeypatch.setattr("agents.training.start.RecordedRun", open_run)
    for text in ("dqn", "reinforce", "sb3:a2c"):
        job = cell_of(Config(env_steps=3000), SUITES["classic"].tasks[0], text, 1).job
        module = __import__(job.agent.module, fromlist=["main"])
        with pytest.raises(Parsed):
            module.main([*job.command()[3:], "--wandb.mode", "disabled"])


@pytest.mark.slow
def test_cells_are_recorded_as_they_finish_and_never_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch)
    benchmark.main(flags(tmp_path, "--agents", "ppo", "sb3:ppo"))
    assert len(runs.started) == len(set(runs.started)) == len(rows(tmp_path)) == 8
    assert {row["what"] for row in rows(tmp_path)} == {"100,000 env steps", "150,000 env steps"}
    benchmark.main(flags(tmp_path, "--agents", "ppo", "sb3:ppo"))
    assert len(runs.started) == 8
    # The row is the record: the folder may be gone, as on another machine.
    for folder in (tmp_path / "runs").glob("*__*"):
        folder.rename(tmp_path / folder.name)
    benchmark.main(flags(tmp_path, "--agents", "ppo", "sb3:ppo", "--seeds", "3"))
    assert [seed for _, _, seed in runs.started[8:]] == [3, 3, 3, 3]


def test_a_finished_run_without_a_row_is_recorded_and_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    benchmark.main(flags(tmp_path, "--agents", "ppo"))
    (tmp_path / "results" / "classic.csv").unlink()
    benchmark.main(flags(tmp_path, "--agents", "ppo"))
    assert len(runs.started) == len(rows(tmp_path)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("change", [["--env-steps", "5000"], ["--minutes", "2"], ["--agents", "ppo --clip 0.1"]])
def test_another_budget_or_setting_is_another_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: list[str]
) -> None:
    runs = Runs(monkeypatch)
    benchmark.main(flags(tmp_path, "--agents", "ppo", "--seeds", "1"))
    benchmark.main(flags(tmp_path, "--agents", "ppo", "--seeds", "1", *change))
    assert len(runs.started) == 4 and len({row["what"] for row in rows(tmp_path)}) > 2


@pytest.mark.slow
def test_a_failed_cell_costs_only_itself_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(monkeypatch)
    runs.codes[("ppo", 1)] = 3
    with pytest.raises(SystemExit) as stop:
        benchmark.main(flags(tmp_path, "--agents", "ppo"))
    printed = capsys.readouterr().out
    assert stop.value.code == 1 and len(rows(tmp_path)) == 2
    assert "failed: ppo on CartPole-v1, seed 1: exit code 3" in printed and "ppo__CartPole__1.log" in printed
    runs.codes.clear()
    benchmark.main(flags(tmp_path, "--agents", "ppo"))
    assert len(rows(tmp_path)) == 4 and len(runs.started) == 6


def test_a_stopped_benchmark_keeps_what_is_finished_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(monkeypatch)
    runs.codes[("ppo", 2)] = EXIT_INTERRUPTED
    with pytest.raises(SystemExit) as stop:
        benchmark.main(flags(tmp_path, "--agents", "ppo"))
    assert stop.value.code == EXIT_INTERRUPTED and len(rows(tmp_path)) == 2
    assert "stopped with 2 cells to run" in capsys.readouterr().out
    runs.codes.clear()
    benchmark.main(flags(tmp_path, "--agents", "ppo"))
    assert len(rows(tmp_path)) == 4


@pytest.mark.slow
def test_cells_where_the_reference_is_ahead_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Runs(monkeypatch)
    benchmark.main(flags(tmp_path, "--agents", "ppo", "sb3:ppo"))
    printed = capsys.readouterr().out
    assert "of 8 cells, about 0:0" in printed  # how far, and how long still
    assert "Stable-Baselines3 scores higher at the same budget in 0 of 2 cells" in printed


def test_time_left_is_that_of_the_cells_most_alike(tmp_path: Path) -> None:
    task, config = SUITES["classic"].tasks[0], Config(runs_dir=tmp_path)
    cell = cell_of(config, task, "ppo", 2)
    slow, fast = (
        row_of(load_run(make_run(tmp_path, name, 1, env_id="CartPole-v1", steps=9000, minutes=minutes)), cell.what)
        for name, minutes in (("ppo", 6.0), ("sb3_ppo", 2.0))
    )
    assert seconds_left([cell], [], 1) is None
    assert seconds_left([cell], [slow, fast], 1) == pytest.approx(360.0)
    assert seconds_left([cell], [slow, fast], 2) == pytest.approx(180.0)
    assert seconds_left([cell_of(config, task, "reinforce", 2)], [slow, fast], 1) == pytest.approx(240.0)


def test_a_row_of_the_command_that_a_run_records_is_its_cell(tmp_path: Path) -> None:
    cell = cell_of(Config(runs_dir=tmp_path), SUITES["classic"].tasks[0], "ppo --clip 0.1", 1)
    words = ["python -m agents.ppo", *cell.job.command()[3:]]
    run = make_run(tmp_path, "ppo", 1, env_id="CartPole-v1", steps=9000, command=words)
    record(tmp_path / "classic.csv", [row_of(load_run(run), cell.what)])
    [row] = read_runs(tmp_path / "classic.csv")
    assert cell.is_in([row])
    assert not cell.is_in([row | {"seed": "2"}])
    assert not cell.is_in([row | {"command": row["command"] + " --clip-end 0"}])
    assert user_flags(row["command"].split()) == user_flags(cell.job.agent.flags)


def test_an_environment_whose_package_is_absent_is_left_out_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = BenchmarkTask("HalfCheetah", "HalfCheetah-v5", (), 1000, continuous=True, needs="no_such_package")
    suite = suites.Suite((task, SUITES["classic"].tasks[0]), 10, 2, 2)
    monkeypatch.setitem(SUITES, "classic", suite)
    assert {cell.job.env for cell in cells_of(Config())} == {"CartPole"}
    Runs(monkeypatch)
    benchmark.main([*flags(tmp_path), "--tasks", "HalfCheetah"])
    printed = capsys.readouterr().out
    assert "HalfCheetah is left out: it needs no_such_package; install it with" in printed
    assert 'pip install -c constraints.txt -e ".[no_such_package]"' in printed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jobs": 10_000}, "may use"),
        ({"jobs": 0}, "jobs must be from 1"),
        ({"seeds": 0}, "seeds must be from 1"),
        ({"env_steps": 0}, "env_steps must be from 1"),
        ({"minutes": 0.0}, "above 0"),
        ({"minutes": float("nan")}, "above 0"),
        ({"first_seed": -1}, "first_seed must be from 0"),
        ({"tasks": ("CartPol",)}, "Did you mean 'CartPole'"),
        ({"tasks": ("Pong",)}, "no task 'Pong' in suite classic"),
        ({"tasks": ()}, "one name or more"),
        ({"agents": ()}, "one name or more"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


def test_agents_that_no_task_is_for_are_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="one finite set of actions, and those of Pendulum are numbers"):
        cells_of(Config(tasks=("Pendulum",), agents=("dqn", "sb3:dqn")))


def test_an_unknown_agent_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown agent"):
        cells_of(Config(agents=("pppo",)))
    assert parse_agent("sb3:a2c").exp_name == "sb3_a2c"


@pytest.mark.parametrize("change", [["--agents", "ppo --clip 5"], ["--first-seed", str(2**63 - 1)]])
def test_what_a_run_would_refuse_is_refused_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: list[str]
) -> None:
    runs = Runs(monkeypatch)
    with pytest.raises(SystemExit) as stop:
        benchmark.main(flags(tmp_path, *change))
    assert stop.value.code == 2 and not runs.started
    assert re.search("clip must be|seeds are at most", capsys.readouterr().err)


@pytest.mark.parametrize("place", ["--runs-dir", "--results-dir"])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    runs = Runs(monkeypatch)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop:
        benchmark.main([*flags(tmp_path, "--agents", "ppo"), place, str(tmp_path / "file" / "folder")])
    assert stop.value.code == 2 and not runs.started
    assert "could not save" in capsys.readouterr().err


def test_reasons_that_cannot_be_read_are_told_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(monkeypatch)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reasons.toml").write_text("classic = 3\n")
    with pytest.raises(SystemExit) as stop:
        benchmark.main(flags(tmp_path, "--agents", "ppo"))
    assert stop.value.code == 2 and not runs.started
    assert "reasons.toml" in capsys.readouterr().err
