"""A `torchrun` of ppo with two actors by gloo, watched from outside, for tests that kill its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from several_processes import pid_of_rank

from rl_gen_lab.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]
WORDS = [
    "--env", "CartPole", "--num-envs", "4", "--rollout-steps", "64", "--minibatch-size", "64", "--epochs", "2",
    "--checkpoint-every-env-steps", "512", "--log-every-env-steps", "256", "--eval.every-env-steps", "0",
    "--eval.final-episodes", "1", "--no-film", "--wandb.mode", "disabled", "--rollouts.actors", "2",
]  # fmt: skip


class LaunchedActors:
    """What they print goes to a file; all have ended when the context does."""

    def __init__(self, path: Path, *words: str, restarts: int = 0) -> None:
        self.runs, self._output = path / "runs", path / "output.txt"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
        command += ["--max-restarts", str(restarts), "-m", "agents.ppo", *WORDS, "--rollouts.backend", "gloo"]
        command += ["--runs-dir", str(self.runs), *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with self._output.open("w") as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)

    def __enter__(self) -> LaunchedActors:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(60)

    def said(self) -> str:
        return self._output.read_text()

    def wait_until(self, found: Callable[[], object], seconds: float = 120) -> None:
        """Wait for something; fail with what was printed where it does not come."""
        end = time.monotonic() + seconds
        while not found():
            if time.monotonic() > end:
                pytest.fail(f"not in {seconds:g} s: {self.said()[-3000:]}")
            time.sleep(0.02)

    def wait_for_step(self, step: int) -> None:
        """Wait until the run has logged a step."""

        def logged() -> bool:
            found = [RunFolder(folder) for folder in self.runs.iterdir()] if self.runs.is_dir() else []
            lines = found[0].read_metrics() if found else []
            return any(line["global_step"] >= step for line in lines) or self.process.poll() is not None

        self.wait_until(logged)
        assert self.process.poll() is None, self.said()[-3000:]

    def pid(self, rank: int) -> int:
        """Return the process id of a rank."""
        return pid_of_rank(self.process.pid, rank)


def runs_on(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
