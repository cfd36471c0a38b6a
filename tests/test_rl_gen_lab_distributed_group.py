"""Processes that are killed or hang: the training ends as if nothing had been, or says who was lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import vision_data
from several_processes import pid_of_rank
from vision_runs import final

from rl_gen_lab.runs.folder import RunFolder

TESTS = Path(__file__).parent
WORDS = "--epochs 6 --patience-epochs 0 --batch-size 4 --wandb.mode disabled --log-every-updates 1"
WORDS += " --checkpoint-every-updates 3 --classify.choices.width 4 --classify.choices.stages 2"


class Launched:
    """A torchrun of two processes; what they print goes to a file."""

    def __init__(self, path: Path, *words: str, restarts: int = 0) -> None:
        self.runs, self._output = path / "runs", path / "output.txt"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command += ["--max-restarts", str(restarts), "-m", "rl_gen_lab.train", "classify"]
        command += ["--data", str(vision_data.folder()), "--runs-dir", str(self.runs), *WORDS.split(), *words]
        environment = os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
        path.mkdir()
        with self._output.open("w") as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)

    def said(self) -> str:
        return self._output.read_text()

    def wait(self, seconds: float) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(60)
            pytest.fail(f"it did not end in {seconds:g} s: {self.said()[-3000:]}")

    def run(self) -> RunFolder:
        (run,) = self.runs.iterdir()
        return RunFolder.open(run)

    def wait_for_update(self, update: int, seconds: float = 120) -> None:
        """Wait until the run has logged an update; fail where its process ends before."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            found = [RunFolder(folder) for folder in self.runs.iterdir()] if self.runs.is_dir() else []
            if found and any(line["global_step"] >= update for line in found[0].read_metrics()):
                return
            time.sleep(0.05)
        self.process.terminate()
        self.process.wait(60)
        pytest.fail(self.said()[-3000:])

    def worker(self, rank: int) -> int:
        """Return the process id of a rank."""
        return pid_of_rank(self.process.pid, rank)


pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes by /proc")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_process_is_replaced_and_the_result_is_that_of_an_uninterrupted_training(tmp_path: Path) -> None:
    whole = Launched(tmp_path / "whole")
    assert whole.wait(150) == 0, whole.said()[-3000:]
    killed = Launched(tmp_path / "killed", restarts=1)
    killed.wait_for_update(5)
    os.kill(killed.worker(1), signal.SIGKILL)
    assert killed.wait(150) == 0, killed.said()[-3000:]
    assert "resumed in epoch" in killed.said() and "process 0 lost process 1 of 2" in killed.said()
    one, two = final(whole.run()), final(killed.run())
    assert all(bool((weight == two[name]).all()) for name, weight in one.items())
    steps = [line["global_step"] for line in killed.run().read_metrics() if "losses/loss" in line]
    assert steps == list(range(1, 25))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_process_that_hangs_is_named_in_time(tmp_path: Path) -> None:
    launched = Launched(tmp_path / "hung", "--rank-timeout-seconds", "4", "--epochs", "100000")
    launched.wait_for_update(5)
    hung = launched.worker(1)
    os.kill(hung, signal.SIGSTOP)
    end = time.monotonic() + 60
    try:
        while "error:" not in launched.said() and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):  # torchrun does it after half a minute: it may have been first
            os.kill(hung, signal.SIGKILL)
    assert launched.wait(60) == 1
    assert "[process 0] error: process 0 lost process 1 of 2, which ended or did not answer in time" in launched.said()
    run = launched.run()
    assert run.read_result()["status"] == "failed" and (run.checkpoints / "latest").is_dir()
