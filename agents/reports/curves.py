"""Run folders -> learning curves, and when a curve first reached a score.

A curve is a step function: at each point the mean return of some finished episodes became known. Training
curves use the last `WINDOW` training episodes (exploring agent); evaluation curves use the evaluations made
during the run and the final one. Letters: P points, E episodes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agents.reports.statistics import Array, bootstrap_over_runs, common_grid, step_function
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.provenance import describe_hardware

# Training episodes behind one point of a training curve.
WINDOW = 20
# Evaluation episodes that must average the score before it counts as reached.
THRESHOLD_EPISODES = 20
# Half width of a normal 95 % interval in standard errors.
Z_95 = 1.96
# Scores worth timing, per environment; the last one counts as solved.
THRESHOLDS: dict[str, tuple[float, ...]] = {
    "ALE/Pong-v5": (0, 10, 18),
    "PongNoFrameskip-v4": (0, 10, 18),
    "CartPole-v1": (195, 475),
    "Acrobot-v1": (-100,),
    "MountainCar-v0": (-110,),
    "LunarLander-v3": (0, 200),
    "LunarLanderContinuous-v3": (0, 200),
    "Pendulum-v1": (-250,),
    "HalfCheetah-v5": (4800,),
}
Axis = Literal["steps", "minutes"]


class RunDataError(UserError):
    """A folder that is no run, or whose record lacks what a comparison needs."""


@dataclass(frozen=True)
class RunRecord:
    """What a run left on disk, read once."""

    # Absolute path.
    folder: Path
    # config.json as it is.
    config: dict[str, Any]
    # Lines of metrics.jsonl in order.
    metrics: list[dict[str, Any]]
    # result.json, or {} while there is none.
    result: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the run folder."""
        return self.folder.name

    @property
    def exp_name(self) -> str:
        """The agent, e.g. "dqn" or "sb3_dqn"."""
        return str(self.config["exp_name"])

    @property
    def env_id(self) -> str:
        """Full Gymnasium id."""
        return str(self.config["env_id"])

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.config["seed"])

    @property
    def fingerprint(self) -> dict[str, Any]:
        """{"text", "hash", "fields"} of the task."""
        return dict(self.config["fingerprint"])

    @property
    def status(self) -> str:
        """ "finished", "interrupted", "failed", or "no result" while there is none."""
        return str(self.result.get("status", "no result"))

    @property
    def final_returns(self) -> list[float]:
        """Returns of the final evaluation's episodes; empty when there was none."""
        return [float(value) for value in (self.result.get("final_eval") or {}).get("returns") or []]

    @property
    def env_steps(self) -> int:
        """Agent steps taken, from the result or else the last metrics line."""
        last = max((int(line["global_step"]) for line in self.metrics), default=0)
        return int(self.result.get("total_env_steps") or last)

    @property
    def minutes(self) -> float:
        """Wall-clock minutes of the run, over all its resumes."""
        last = max((float(line["wall_seconds"]) for line in self.metrics), default=0.0)
        return float(self.result.get("wall_seconds") or last) / 60.0

    @property
    def steps_per_second(self) -> float | None:
        """Agent steps per second as the run reported it, else over its whole wall-clock time."""
        reported = self.result.get("steps_per_second")
        if reported is None and self.minutes > 0:
            return self.env_steps / (60.0 * self.minutes)
        return None if reported is None else float(reported)

    @property
    def peak_memory_mb(self) -> float | None:
        """Largest resident memory [MB]."""
        logged = [line["charts/peak_memory_mb"] for line in self.metrics if "charts/peak_memory_mb" in line]
        values = [float(value) for value in [*logged, self.result.get("peak_memory_mb")] if value is not None]
        return max(values, default=None)

    @property
    def updates(self) -> int | None:
        """Gradient updates made."""
        value = self.result.get("updates")
        return None if value is None else int(value)

    @property
    def threads(self) -> int | None:
        """CPU threads of the network, from the config."""
        device = self.config.get("config", {}).get("device")
        value = device.get("threads") if isinstance(device, dict) else self.config["config"].get("threads")
        return None if value is None else int(value)

    @property
    def hardware(self) -> str:
        """The machine in a few words: cpu, cores, memory, gpu."""
        return describe_hardware(self.config.get("hardware") or {})


def load_run(path: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        RunDataError: the folder's config lacks a field that every comparison needs.
        CheckpointError: it is not a run folder.
    """
    folder = RunFolder.open(path)
    config = folder.read_config()
    missing = [key for key in ("config", "env_id", "exp_name", "seed", "fingerprint") if key not in config]
    if missing:
        raise RunDataError(f"{folder.config_file}: lacks {', '.join(missing)}; was it written by this project?")
    result = folder.read_result() if folder.result_file.exists() else {}
    return RunRecord(path.resolve(), config, folder.read_metrics(), result)


@dataclass(frozen=True)
class Curve:
    """A step function with P points, ordered in time; all fields (P,) float64."""

    # Agent steps at which the value became known.
    steps: Array
    # Wall-clock minutes since the start, over all resumes.
    minutes: Array
    # Mean episode return, unclipped.
    values: Array
    # Episodes behind each value.
    episodes: Array
    # Standard deviation of the return over those episodes.
    spread: Array
    # The run stopped because it had solved the task: its last value holds for the steps it did not need.
    holds: bool = False

    def axis(self, name: Axis) -> Array:
        """The x values: agent steps or minutes."""
        return self.steps if name == "steps" else self.minutes

    def __len__(self) -> int:
        """Number of points P."""
        return len(self.values)


def _curve(rows: Sequence[Sequence[float]], run: RunRecord) -> Curve:
    steps, minutes, values, episodes, spread = np.asarray(rows, dtype=np.float64).reshape(-1, 5).T
    return Curve(steps, minutes, values, episodes, spread, holds=bool(run.result.get("solved")))


def training_curve(run: RunRecord, window: int = WINDOW) -> Curve:
    """Mean return of the last `window` training episodes after each one (while there are fewer: of all).

    Args:
        run: the run.
        window: episodes in the mean, >= 1.

    Returns:
        one point per finished training episode.
    """
    lines = [line for line in run.metrics if line.get("charts/episodic_return") is not None]
    returns = [float(line["charts/episodic_return"]) for line in lines]
    rows = []
    for index, line in enumerate(lines):
        recent = np.asarray(returns[max(0, index + 1 - window) : index + 1])
        minutes = line["wall_seconds"] / 60.0
        rows.append((line["global_step"], minutes, recent.mean(), recent.size, recent.std()))
    return _curve(rows, run)


def evaluation_curve(run: RunRecord) -> Curve:
    """Evaluations made during training, and the final one if the record of training ends before it.

    Returns:
        one point per evaluation.
    """
    rows = []
    for line in run.metrics:
        mean = line.get("eval/return_mean")
        if mean is None:
            continue
        spread = line.get("eval/return_std")
        minutes = line["wall_seconds"] / 60.0
        row = (line["global_step"], minutes, mean, line.get("eval/episodes") or 1, spread or 0.0)
        rows.append([float(value) for value in row])
    final = run.final_returns
    if final and (not rows or rows[-1][0] < run.env_steps):
        rows.append([run.env_steps, run.minutes, float(np.mean(final)), len(final), float(np.std(final))])
    return _curve(rows, run)


@dataclass(frozen=True)
class Crossing:
    """Where a curve first reached a score."""

    steps: int
    minutes: float
    # Episodes whose mean was at least the score.
    episodes: int


def first_crossing(curve: Curve, score: float, min_episodes: int = THRESHOLD_EPISODES) -> Crossing | None:
    """The first point at which the latest `min_episodes` episodes average at least `score`.

    An evaluation with fewer episodes is pooled with those just before it: otherwise many small evaluations
    would reach any score by luck.

    Args:
        curve: an evaluation curve.
        score: mean return to reach.
        min_episodes: episodes that must be in the mean.

    Returns:
        where, or None if it never did.
    """
    for index in range(len(curve)):
        start, count = index, curve.episodes[index]
        while count < min_episodes and start > 0:
            start -= 1
            count += curve.episodes[start]
        weights = curve.episodes[start : index + 1]
        if count >= min_episodes and np.average(curve.values[start : index + 1], weights=weights) >= score:
            return Crossing(int(curve.steps[index]), float(curve.minutes[index]), int(count))
    return None


def thresholds_for(env_id: str) -> tuple[float, ...]:
    """Scores worth timing in this environment; empty for one we know nothing about."""
    return THRESHOLDS.get(env_id, ())


@dataclass(frozen=True)
class Band:
    """The summary of a group of curves on a common grid; x, value, low, high: (G,) float64."""

    x: Array
    value: Array
    low: Array
    high: Array
    runs: int


def band(curves: Sequence[Curve], axis: Axis, points: int = 200) -> Band:
    """Interquartile mean over runs with a bootstrap band; for one run, a normal interval over its episodes.

    Args:
        curves: one per run; those without points are left out.
        axis: x axis.
        points: largest grid.

    Returns:
        the summary over the range in which every run has data; empty if there is none. Runs that stopped
        because they had solved the task keep their last value.
    """
    curves = [curve for curve in curves if len(curve)]
    grid = common_grid(_places(curves, axis), points)
    if not grid.size:
        return Band(grid, grid, grid, grid, len(curves))
    if len(curves) == 1:
        only = curves[0]
        value = step_function(only.axis(axis), only.values, grid)
        error = Z_95 * step_function(only.axis(axis), only.spread / np.sqrt(only.episodes), grid)
        return Band(grid, value, value - error, value + error, 1)
    rows = [step_function(curve.axis(axis), curve.values, grid) for curve in curves]
    return Band(grid, *bootstrap_over_runs(rows), len(curves))


def _places(curves: Sequence[Curve], axis: Axis) -> list[Array]:
    """The x of each curve; those that hold their last value reach as far as the others."""
    places = [curve.axis(axis) for curve in curves]
    ends = [x[-1] for x, curve in zip(places, curves, strict=True) if not curve.holds]
    end = min(ends) if ends else max((x[-1] for x in places), default=0.0)
    return [np.append(x, end) if curve.holds and x[-1] < end else x for x, curve in zip(places, curves, strict=True)]


def median_crossing(crossings: Sequence[Crossing | None]) -> tuple[float, float]:
    """Median steps and minutes to a score over runs; infinite when half of them or more never reached it."""
    steps = [math.inf if crossing is None else float(crossing.steps) for crossing in crossings]
    minutes = [math.inf if crossing is None else crossing.minutes for crossing in crossings]
    return _upper_median(steps), _upper_median(minutes)


def _upper_median(values: Sequence[float]) -> float:
    """The middle value; of two middle ones their mean, infinite if one of them is."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
