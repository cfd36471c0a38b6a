"""Missing runs are made once, several at a time if asked, continued after a kill, and never by two commands at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from run_jobs import job, stopped_run
from synthetic_runs import make_run

from agents.experiments import launcher
from agents.experiments.jobs import AgentSpec, Job
from agents.experiments.launcher import Outcome, RunFailedError, make_all, run_child
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED
from rl_gen_lab.runs.lock import FolderBusyError


class Commands:
    """Stands in for the processes: each command runs a little Python instead, and may leave a finished run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: str = "", leaves_a_run: bool = True) -> None:
        self.started: list[list[str]] = []
        self.code, self.leaves_a_run = code, leaves_a_run
        monkeypatch.setattr(launcher, "_start", self.start)

    def start(self, words: Sequence[str], job: Job, lock: Any, logs: Path | None) -> subprocess.Popen[bytes]:
        self.started.append(list(words[2:]))
        if self.leaves_a_run:
            make_run(job.runs_dir, job.agent.exp_name, job.seed, minutes=job.minutes or 0.0, steps=9000)
        return subprocess.Popen([sys.executable, "-S", "-c", self.code])


def test_missing_runs_are_made_once_and_the_next_call_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands(monkeypatch)
    done = make_run(tmp_path, "dqn", 1, minutes=20.0)
    jobs = [job(tmp_path, agent, seed) for seed in (1, 2) for agent in ("dqn", "sb3:dqn")]
    first = [outcome.folder for outcome in make_all(jobs, tmp_path)]
    assert [words[0] for words in commands.started] == ["agents.sb3", "agents.dqn", "agents.sb3"]
    assert first[0] == done and None not in first and len(set(first)) == 4
    assert [outcome.folder for outcome in make_all(jobs, tmp_path)] == first and len(commands.started) == 3


def test_a_failing_run_is_told_with_its_exit_code_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Commands(monkeypatch, "raise SystemExit(3)", leaves_a_run=False)
    outcomes = list(make_all([job(tmp_path, seed=seed) for seed in (1, 2)], tmp_path))
    assert [(outcome.job.seed, outcome.folder, outcome.code) for outcome in outcomes] == [(1, None, 3), (2, None, 3)]
    with pytest.raises(RunFailedError, match="dqn on Pong with seed 1 ended with exit code 3"):
        outcomes[0].checked()
    with pytest.raises(RunFailedError, match="left no finished run"):
        Outcome(job(tmp_path), None, 0).checked()


def test_a_killed_run_of_ours_goes_on_and_one_of_the_reference_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands(monkeypatch)
    path = stopped_run(tmp_path, "dqn")
    stopped_run(tmp_path, "sb3_dqn")
    list(make_all([job(tmp_path), job(tmp_path, "sb3:dqn")], tmp_path, resume=True))
    assert commands.started[0] == ["agents.dqn", "--resume", str(path)]
    assert commands.started[1][:3] == ["agents.sb3", "--algo", "dqn"]


def test_nothing_is_continued_unless_asked_or_without_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands(monkeypatch)
    make_run(tmp_path, "dqn", 2, status=None)
    stopped_run(tmp_path, "dqn", 1)
    list(make_all([job(tmp_path)], tmp_path))
    list(make_all([job(tmp_path, seed=2)], tmp_path, resume=True))
    assert all("--resume" not in words for words in commands.started) and len(commands.started) == 2


def test_a_run_that_cannot_be_continued_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch, "raise SystemExit(2)", leaves_a_run=False)
    stopped_run(tmp_path)
    (outcome,) = make_all([job(tmp_path)], tmp_path, resume=True)
    assert ["--resume" in words for words in commands.started] == [True, False]
    assert outcome.code == 2


def test_after_an_interrupted_run_nothing_new_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch, f"raise SystemExit({EXIT_INTERRUPTED})", leaves_a_run=False)
    outcomes = list(make_all([job(tmp_path, seed=seed) for seed in (1, 2, 3)], tmp_path))
    assert len(outcomes) == len(commands.started) == 1


def test_so_many_runs_at_a_time_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each run ends only when both have begun.
    code = f"""
import os, time
here = {str(tmp_path)!r}
open(f"{{here}}/{{os.getpid()}}.begun", "w").close()
end = time.monotonic() + 20
while sum(name.endswith(".begun") for name in os.listdir(here)) < 2:
    assert time.monotonic() < end
    time.sleep(0.02)
"""
    Commands(monkeypatch, code)
    outcomes = list(make_all([job(tmp_path, seed=seed) for seed in (1, 2)], tmp_path, at_once=2))
    assert sorted(outcome.job.seed for outcome in outcomes) == [1, 2]
    assert [outcome.code for outcome in outcomes] == [0, 0]


def test_sigterm_reaches_every_run_and_starts_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch, "import time; time.sleep(60)", leaves_a_run=False)

    def send() -> None:
        while len(commands.started) < 2:
            time.sleep(0.02)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    outcomes = list(make_all([job(tmp_path, seed=seed) for seed in (1, 2, 3)], tmp_path, at_once=2))
    thread.join()
    assert [outcome.code for outcome in outcomes] == [-signal.SIGTERM, -signal.SIGTERM]
    assert len(commands.started) == 2


def test_output_goes_to_a_file_of_each_run_where_asked(tmp_path: Path) -> None:
    spec = AgentSpec("dqn", "this", [], [])  # python -m this --env ...: prints, and leaves no run
    (outcome,) = make_all(
        [Job(spec, "Pong", 1, None, tmp_path, WandbConfig(mode="disabled"))], tmp_path, logs=tmp_path / "logs"
    )
    assert outcome.folder is None
    assert "Simple is better" in (tmp_path / "logs" / "dqn__Pong__1.log").read_text()


def test_a_folder_is_locked_while_runs_are_made_also_by_a_run_that_outlives_its_parent(tmp_path: Path) -> None:
    with launcher._locked(tmp_path) as lock:
        with pytest.raises(FolderBusyError, match=f"is where runs are made, by process {os.getpid()} "):
            next(make_all([job(tmp_path)], tmp_path, resume=True))
        orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()])
    with pytest.raises(FolderBusyError):
        next(make_all([job(tmp_path)], tmp_path, resume=True))
    orphan.communicate(b"\n")
    with launcher._locked(tmp_path):
        pass


def test_output_of_a_child_reaches_our_own_and_its_exit_code_comes_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_child([sys.executable, "-c", "print('learning', flush=True); raise SystemExit(5)"]) == 5
    assert capfd.readouterr().out == "learning\n"
