"""The command makes the missing runs, compares them and writes the comparison."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import make_run

from agents import compare
from agents.compare import Config, make_runs
from agents.experiments import launcher
from agents.experiments.jobs import Job
from rl_gen_lab.cli.errors import ConfigError


@pytest.fixture
def six_runs(tmp_path: Path) -> list[Path]:
    """Three runs that solve Pong and three that do not."""
    ours = [make_run(tmp_path / "runs", "dqn", seed, solved_at=80_000) for seed in (1, 2, 3)]
    return ours + [make_run(tmp_path / "runs", "sb3_dqn", seed, solved_at=900_000) for seed in (1, 2, 3)]


def test_runs_are_made_seed_by_seed_within_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Config(env="Pong", agents=("dqn", "sb3:dqn"), seeds=2, minutes=20.0, runs_dir=tmp_path)
    asked: list[Job] = []

    def make_all(jobs: list[Job], runs_dir: Path) -> Iterator[launcher.Outcome]:
        asked.extend(jobs)
        yield from (launcher.Outcome(job, runs_dir / str(number)) for number, job in enumerate(jobs))

    monkeypatch.setattr(compare, "make_all", make_all)
    assert list(make_runs(settings)) == [tmp_path / str(number) for number in range(4)]
    assert [(job.agent.exp_name, job.seed) for job in asked] == [("dqn", 1), ("sb3_dqn", 1), ("dqn", 2), ("sb3_dqn", 2)]
    assert {(job.env, job.minutes, job.runs_dir) for job in asked} == {("Pong", 20.0, tmp_path)}


def test_a_failing_run_stops_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "make_all", lambda jobs, runs_dir: iter([launcher.Outcome(jobs[0], None, 3)]))
    with pytest.raises(launcher.RunFailedError, match="dqn on Pong with seed 1 ended with exit code 3"):
        list(make_runs(Config(env="Pong", agents=("dqn",), runs_dir=tmp_path)))


@pytest.mark.parametrize("change", [{"agents": ("ppo --clip 5",)}, {"first_seed": 2**63 - 1}])
def test_what_a_run_would_refuse_is_refused_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(compare, "make_all", lambda jobs, runs_dir: pytest.fail("a run was started"))
    with pytest.raises(ConfigError, match=r"clip|seeds"):
        list(make_runs(Config(**{"env": "CartPole", "agents": ("ppo",), "runs_dir": tmp_path} | change)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either run folders, or --env and --agents"),
        ({"agents": ("dqn",)}, "belong together"),
        ({"agents": ("dqn",), "env": "Pong", "seeds": 0}, "seeds must be from 1 to 10,000"),
        ({"runs": (Path("a"),), "agents": ("dqn",), "env": "Pong"}, "either run folders"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**arguments)


@pytest.mark.slow
def test_command_writes_page_figure_and_numbers(six_runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "comparisons"
    compare.main([*map(str, six_runs), "--out", str(out), "--wandb.mode", "offline"])
    [folder] = out.iterdir()
    assert folder.name.startswith("Pong__")
    numbers = json.loads((folder / "comparison.json").read_text())
    assert [group["agent"] for group in numbers["groups"]] == ["dqn", "sb3_dqn"]
    assert (folder / "learning_curves.png").stat().st_size > 10_000
    assert (folder / "index.html").exists()
    assert list(folder.glob("**/run-*.wandb"))


def test_command_exits_with_2_and_the_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path, "dqn"), make_run(tmp_path, "sb3_dqn", task={"sticky": 0.0})]
    with pytest.raises(SystemExit) as stop:
        compare.main([*map(str, runs), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "sticky: 0.25 vs 0.0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_command_exits_with_2_on_an_unknown_env(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        compare.main(["--env", "Pongg", "--agents", "dqn", "--runs-dir", str(tmp_path)])
    assert stop.value.code == 2
    assert "'Pong'" in capsys.readouterr().err


def test_a_folder_given_twice_is_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(make_run(tmp_path, evaluations=0, steps=9000))
    compare.main([run, run + "/", "--out", str(tmp_path / "out"), "--wandb.mode", "disabled"])
    assert "(1 run)" in capsys.readouterr().out


def test_command_exits_with_2_on_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        compare.main([str(tmp_path / "nothing")])
    assert stop.value.code == 2
    assert "nothing" in capsys.readouterr().err
