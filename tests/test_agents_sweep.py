"""`python -m agents.sweep` from one end to the other, and what it says where something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sweep_command import environment, write_sweep

from agents import sweep
from agents.experiments import storage
from agents.reports.store import read_csv
from rl_gen_lab.cli.errors import ConfigError

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(240)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        sweep.main(list(words))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.slow
def test_a_sweep_is_worked_off_reported_and_recorded(tmp_path: Path) -> None:
    file = write_sweep(tmp_path, head="trials = 5\nseeds = [1]", pruner='kind = "median"\nstartup_trials = 3')
    words = [sys.executable, "-m", "sweep_command", str(file), "--workers", "2", "--runs-dir", "sweeps", "--record"]
    done = subprocess.run(
        [*words, "--results-dir", "results"],
        cwd=tmp_path,
        env=environment(SHORT_RUN_SECONDS="0.02"),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    folder = tmp_path / "sweeps" / "short"
    assert {"study.html", "best.toml", "history.png", "parallel.png", "journal.log"} <= set(os.listdir(folder))
    best = tomllib.loads((folder / "best.toml").read_text())
    _, rows = read_csv(tmp_path / "results" / "sweeps.csv")
    complete = [row for row in rows if row["state"] == "complete"]
    assert len(rows) == 5 and len({row["settings"] for row in rows}) == 5
    first = max(complete, key=lambda row: float(row["score"]))
    assert f'"learning_rate": {best["learning_rate"]}' in first["settings"]
    assert (
        "more workers, also on other machines: " in done.stdout and f"best {float(first['score']):.4g}" in done.stdout
    )


def test_what_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = str(write_sweep(tmp_path, search="learning_rat = { low = 1e-4, high = 1.0 }"))
    assert "no setting 'learning_rat'. Did you mean 'learning_rate'?" in refused(capsys, file)
    assert "no sweep at shor.toml. Did you mean 'short.toml'?" in refused(capsys, "shor.toml")
    file = str(write_sweep(tmp_path))
    assert "cannot reach or use the database sqlite:////no/folder/x.db" in refused(
        capsys, file, "--storage", "sqlite:////no/folder/x.db"
    )
    assert "'a/b' cannot be the name of a study" in refused(capsys, file, "--name", "a/b")
    assert "--workers" in refused(capsys, file, "--workers", "0")
    (tmp_path / "runs").write_text("a file where a folder should be")
    assert refused(capsys, file).startswith("error: could not save ")
    monkeypatch.setattr(storage.importlib.util, "find_spec", lambda name: None)
    line = refused(capsys, file)
    assert "needs optuna, which is not installed; the extra `sweep` has it" in line


def test_what_is_known_so_far_is_written_while_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweep_command import shared_study

    monkeypatch.chdir(tmp_path)
    shared = shared_study(tmp_path / "sweeps" / "short")
    for score in (1.0, 2.0):
        trial = shared.claim()
        assert trial is not None
        shared.sweep.space.suggest(trial)
        shared.study.tell(trial, score)
    file = str(write_sweep(tmp_path))
    sweep.main([file, "--runs-dir", "sweeps", "--only-report", "--wandb.mode", "disabled"])
    text = capsys.readouterr().out
    assert "2 of 6 trials are done" in text and "best 2 by trial 1" in text and "more workers" not in text
    assert (tmp_path / "sweeps" / "short" / "best.toml").exists() and len(shared.trials("WAITING")) == 4


@pytest.mark.parametrize("storage", [None, "sqlite:///study.db"])
def test_a_report_of_no_study_is_one_line_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--storage", storage] if storage else []
    for _ in range(2):
        with pytest.raises(SystemExit):
            sweep.main([str(write_sweep(tmp_path)), "--only-report", "--runs-dir", "sweeps", *where])
        assert "there is no study short in" in capsys.readouterr().err
    assert not (tmp_path / "sweeps").exists()


def test_the_command_of_a_worker_names_its_study_and_storage(tmp_path: Path) -> None:
    from sweep_command import shared_study

    shared = shared_study(tmp_path, f"sqlite:///{tmp_path}/s.db")
    config = sweep.Config(tmp_path / "short.toml", runs_dir=tmp_path)
    words = sweep.worker_words(config, shared)
    assert words[1:3] == ["-m", "agents.sweep"] and words[-1] == "--worker"
    assert words[words.index("--storage") + 1] == f"sqlite:///{tmp_path}/s.db"
    assert words[words.index("--name") + 1] == "short"


def test_a_worker_number_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="worker"):
        sweep.Config(tmp_path, worker=-1)
