"""The runs of a trial: one for each seed, side by side, each in a folder of its own.

A folder that already holds a finished run is not run again, and one whose run was stopped goes on (Stable-Baselines3's
begin anew, as their resuming is not exact).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.experiments.sweep_plan import Plan, python_words
from rl_gen_lab.cli.errors import CheckpointError, UserError
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder, row_of
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED
from rl_gen_lab.runs.reading import MOST_BYTES, open_file

DIVERGED = "DivergedError"
LONGEST_REASON = 300  # characters


class TrialFailedError(UserError):
    """A run of a trial ended with an error that has nothing to do with its settings, as far as one can tell."""


class RunKilledError(UserError):
    """A run of a trial was killed, or asked to stop by somebody else."""


class DivergedTrialError(UserError):
    """A run of a trial diverged: its settings are bad ones."""


@dataclass
class Scores:
    """The evaluations of a run, read from metrics.jsonl as it grows.

    steps, values: (P,) where the agent was evaluated, rising, and its mean returns; of vision models epochs, and the
    metric that is maximized.
    """

    # The name of the metric; None until it is known.
    metric: str | None
    by_epoch: bool = False
    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    _offset: int = 0
    _inode: int = -1

    def read(self, file: Path) -> None:
        """Take in the lines that came since the last call; all of them where the file was replaced."""
        try:
            with open_file(file) as lines:
                state = os.fstat(lines.fileno())
                if state.st_ino != self._inode or state.st_size < self._offset:
                    self.steps, self.values, self._offset, self._inode = [], [], 0, state.st_ino
                lines.seek(self._offset)
                whole, newline, _ = lines.read(MOST_BYTES).rpartition(b"\n")
        except CheckpointError:  # none yet
            return
        self._offset += len(whole) + len(newline)
        wanted = json.dumps(self.metric).encode()
        for line in whole.split(b"\n"):
            row = row_of(line + b"\n") if wanted in line else None
            if row is not None and (value := row.get(self.metric or "")) is not None:
                self.steps.append(len(self.values) + 1 if self.by_epoch else float(row["global_step"]))
                self.values.append(float(value))

    def at(self, steps: float, *, ended: bool = False) -> float | None:
        """Return the value after so many steps, linear between two evaluations; None before it is known.

        Runs that collect other numbers of steps at a time are evaluated at other steps: this compares them at equal
        ones. Before the first evaluation it is the first value; a run that has ended keeps its last one.
        """
        if not self.steps or (self.steps[-1] < steps and not ended):
            return None
        return float(np.interp(steps, self.steps, self.values))


class SeedRun:
    """A run of a trial: its folder, its process, its evaluations."""

    def __init__(self, plan: Plan, words: Sequence[str], seed: int, folder: Path) -> None:
        """Name it; nothing is started. words: the flags of the trial; folder: of this seed."""
        self.plan, self.words, self.seed, self.folder = plan, words, seed, folder
        self.scores = Scores(None, by_epoch=True) if plan.is_vision else Scores("eval/return_mean")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.folder / "output.log"

    def run_folder(self) -> RunFolder | None:
        """Return its newest run folder; None while there is none."""
        found = [file.parent for file in self.folder.glob("*/config.json")]
        return RunFolder(max(found, key=lambda path: (path.stat().st_mtime_ns, path.name))) if found else None

    def result(self) -> dict[str, Any] | None:
        """Return the content of result.json; None while there is none."""
        run = self.run_folder()
        try:
            return None if run is None else run.read_result()
        except CheckpointError:
            return None

    def start(self) -> None:
        """Start the run, continue it, or find it finished. Raises: SaveError."""
        result, run = self.result() or {}, self.run_folder()
        if result.get("status") == "finished":
            return
        resumable = run is not None and any((run.checkpoints).glob("latest*")) and result.get("status") != "failed"
        if run is not None and resumable and self.plan.module != "agents.sb3":
            head = python_words(self.plan, (), self.seed, self.folder)[:3]
            words = [*head, "--resume", str(run.path)]
        else:
            words = python_words(self.plan, self.words, self.seed, self.folder.absolute())
            words += (
                [] if any(word.startswith("--wandb.mode") for word in self.plan.words) else ["--wandb.mode", "disabled"]
            )
        environment = {"OMP_NUM_THREADS": "1"} | os.environ
        with save_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.log.open(
                "ab"
            ) as output:  # a session of its own: Ctrl-C reaches the worker, which asks it to stop
                self.process = subprocess.Popen(
                    words, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
                )

    def poll(self) -> bool:
        """Read new evaluations; return whether the run has ended. Raises: the errors above."""
        code = None if self.process is None else self.process.poll()
        run = self.run_folder()
        if run is not None:
            if self.scores.metric is None and (goal := run.read_config().get("goal")):
                self.scores.metric = f"val/{goal}"
            self.scores.read(run.metrics_file)
        if self.process is not None and code is None:
            return False
        result = self.result() or {}
        if result.get("status") == "finished":
            return True
        if str(result.get("error", "")).startswith(DIVERGED):
            raise DivergedTrialError(str(result["error"])[:LONGEST_REASON])
        if code is not None and (code < 0 or code == EXIT_INTERRUPTED):
            raise RunKilledError(f"the run of seed {self.seed} was killed or stopped (exit code {code})")
        raise TrialFailedError(f"{self._last_words()} (exit code {code}; see {self.log})")

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        errors = [line for line in lines if line.startswith("error: ")] or lines
        return errors[-1].removeprefix("error: ")[:LONGEST_REASON] if errors else "it said nothing"

    def ask_to_stop(self) -> None:
        """Ask the run to save and stop."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait_for_stop(self, seconds: float) -> None:
        """Wait for a run that was asked to stop, and kill it where it does not."""
        if self.process is not None:
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def score(self, compared_at: Sequence[int]) -> float:
        """Return the score of the finished run. compared_at: the steps at which trials are compared.

        Raises: TrialFailedError where its record holds none.
        """
        try:
            return self._score(compared_at)
        except (KeyError, TypeError) as error:
            raise TrialFailedError(f"{self.run_folder()} has ended, but its record holds no score") from error

    def _score(self, compared_at: Sequence[int]) -> float:
        if self.plan.score == "evaluations":
            return float(np.mean([self.scores.at(steps, ended=True) for steps in compared_at]))
        result = self.result() or {}
        if self.plan.is_vision:
            return float(result["val"][result["goal"]])
        return float(result["final_eval"]["return_mean"])

    def cost(self) -> dict[str, float]:
        """Return the steps that the run took so far (vision models: epochs), and the seconds."""
        result = self.result() or {}
        steps = result.get("total_env_steps") or result.get("epochs") or (self.scores.steps or [0.0])[-1]
        return {"steps": float(steps), "seconds": float(result.get("wall_seconds") or 0.0)}

    def remove_checkpoint(self) -> None:
        """Remove what the run would be resumed from: replay memories of many trials fill a disk."""
        run = self.run_folder()
        for file in run.checkpoints.glob("latest*") if run is not None else ():
            shutil.rmtree(file, ignore_errors=True) if file.is_dir() else file.unlink(missing_ok=True)


def score_of(plan: Plan, scores: Sequence[float]) -> float:
    """Return the score of a trial from those of its runs: their mean, or a quantile."""
    return float(np.mean(scores) if plan.quantile is None else np.quantile(scores, plan.quantile))
