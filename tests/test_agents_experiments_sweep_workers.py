"""Workers of a sweep as processes: killed at random, stopped together, ended by an error."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from sweep_command import environment, shared_study, write_sweep

from agents.experiments.study import LOST, PLACE
from agents.experiments.sweep_workers import last_words

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SECONDS = 150.0


def start(folder: Path, *words: str, seconds: str = "0.1", **changes: str) -> subprocess.Popen[str]:
    file = write_sweep(folder, **changes)
    command = [sys.executable, "-m", "sweep_command", str(file), "--runs-dir", str(folder / "sweeps"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment(SHORT_RUN_SECONDS=seconds), **pipes)  # type: ignore[call-overload,no-any-return]


def workers_of(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(launcher.pid).children():
        try:
            if "--worker" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def test_workers_that_are_killed_at_random_lose_no_trial_and_make_none_twice(tmp_path: Path) -> None:
    rng, kills = random.Random(0), 2
    launcher = start(tmp_path, "--workers", "2", seconds="0.4", head="trials = 4")
    while kills and launcher.poll() is None:
        time.sleep(0.3)
        workers = [worker for worker in workers_of(launcher) if worker.children()]  # with runs
        if workers and rng.random() < 0.4:
            rng.choice(workers).kill()
            kills -= 1
    output, _ = launcher.communicate(timeout=SECONDS)
    assert launcher.returncode == 0, output
    assert kills == 0 and output.count("was killed (SIGKILL): started again") == 2
    folder = tmp_path / "sweeps" / "short"
    shared = shared_study(folder, head="trials = 4")
    done = Counter(trial.user_attrs[PLACE] for trial in shared.trials("COMPLETE"))
    assert done == Counter(range(4)) and not shared.trials("RUNNING", "WAITING")
    assert len([trial for trial in shared.trials("FAIL") if LOST in trial.user_attrs]) == 2
    finished = Counter(str(file.parent.relative_to(folder)) for file in folder.glob("trials/*/seed_*/*/result.json"))
    assert len(finished) == 8 and set(finished.values()) == {1}  # one run for each seed of each trial
    lines = [len(file.read_text().splitlines()) for file in folder.glob("trials/*/seed_*/finished.jsonl")]
    assert lines == [1] * 8


def test_ctrl_c_stops_all_and_the_same_command_goes_on(tmp_path: Path) -> None:
    launcher = start(tmp_path, "--workers", "2", seconds="0.5", head="trials = 3")
    while not any(worker.children() for worker in workers_of(launcher)):
        time.sleep(0.1)
    processes = psutil.Process(launcher.pid).children(recursive=True)
    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=SECONDS)
    assert launcher.returncode == 130 and "the same command goes on from here" in output
    assert not [process for process in processes if process.is_running()]
    again = start(tmp_path, "--workers", "1", seconds="0", head="trials = 3")
    output, _ = again.communicate(timeout=SECONDS)
    assert again.returncode == 0 and "3 trials (3 complete, 0 pruned, 0 failed)" in output, output


def test_workers_end_with_a_command_that_was_killed(tmp_path: Path) -> None:
    launcher = start(tmp_path, "--workers", "1", seconds="60", head="trials = 3")
    while not any(worker.children() for worker in workers_of(launcher)):
        time.sleep(0.1)
    processes = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    launcher.communicate(timeout=SECONDS)
    _, left = psutil.wait_procs(processes, timeout=SECONDS)
    assert not left
    (log,) = tmp_path.glob("**/workers/1.log")
    assert "the command that started this worker has ended: stopping" in log.read_text()


def test_workers_that_all_end_by_an_error_are_told_in_their_words(tmp_path: Path) -> None:
    os.environ["SHORT_RUN_ERROR"] = "0"
    try:
        launcher = start(tmp_path, "--workers", "1", seconds="0")
    finally:
        del os.environ["SHORT_RUN_ERROR"]
    output, _ = launcher.communicate(timeout=SECONDS)
    assert launcher.returncode == 2
    last = output.splitlines()[-1]
    assert last.startswith("error: every worker ended before the last trial, the first said: 3 trials failed one after")
    assert "the disk is on fire" in last and "Traceback" not in output


def test_the_last_words_of_a_worker(tmp_path: Path) -> None:
    assert last_words(tmp_path / "none.log") == "nothing"
    (tmp_path / "a.log").write_text("trial 1\nerror: no space\n")
    assert last_words(tmp_path / "a.log") == "no space"
