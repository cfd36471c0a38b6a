"""The table of tasks: what counts as solved, the budget of a benchmark run, what a task needs.

The same for every agent of a task. Budgets of the classic tasks are those of our presets, except for actor-critic on
LunarLander and MountainCar and REINFORCE on MountainCar, whose presets are larger. The Stable-Baselines3 zoo's are
larger for most on-policy agents (up to 1,000,000 steps of Acrobot, MountainCar, LunarLander and HalfCheetah): the
benchmark asks what an agent achieves within few steps.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchmarkTask:
    """An environment with the scores that matter in it."""

    # Short name.
    env: str
    # Full Gymnasium id, as runs record it.
    env_id: str
    # Mean returns worth timing, rising; the last one counts as solved.
    thresholds: tuple[float, ...] = ()
    # Agent steps of a benchmark run.
    env_steps: int = 1_000_000
    # A benchmark run may end once an evaluation's mean return reaches this (None: it takes all its steps).
    stop_at_return: float | None = None
    # Actions are real numbers: DQN does not apply.
    continuous: bool = False
    # An optional package that the environment needs, which is an extra of this project too.
    needs: str | None = None

    def unavailable_reason(self) -> str | None:
        """Say in one line why the task cannot be run here and how to install what it needs; None if it can be run."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        how = f'pip install -c constraints.txt -e ".[{self.needs}]"'
        return f"{self.env} is left out: it needs {self.needs}; install it with {how}"


TASKS = (
    BenchmarkTask("CartPole", "CartPole-v1", (195, 475), 100_000, stop_at_return=500),
    BenchmarkTask("Acrobot", "Acrobot-v1", (-100,), 100_000),
    BenchmarkTask("MountainCar", "MountainCar-v0", (-110,), 150_000),
    BenchmarkTask("LunarLander", "LunarLander-v3", (0, 200), 300_000),
    BenchmarkTask("Pendulum", "Pendulum-v1", (-250,), 150_000, continuous=True),
    BenchmarkTask("LunarLanderContinuous", "LunarLanderContinuous-v3", (0, 200), 300_000, continuous=True),
    BenchmarkTask("HalfCheetah", "HalfCheetah-v5", (4800,), 300_000, continuous=True, needs="mujoco"),
    BenchmarkTask("Pong", "ALE/Pong-v5", (0, 10, 18), stop_at_return=18),
    BenchmarkTask("PongNoFrameskip-v4", "PongNoFrameskip-v4", (0, 10, 18)),
    BenchmarkTask("Breakout", "ALE/Breakout-v5"),
    BenchmarkTask("Boxing", "ALE/Boxing-v5"),
    BenchmarkTask("Freeway", "ALE/Freeway-v5"),
    BenchmarkTask("SpaceInvaders", "ALE/SpaceInvaders-v5"),
)


def task_named(env: str) -> BenchmarkTask:
    """Return the task with this short name. Raises: KeyError."""
    return {task.env: task for task in TASKS}[env]


def thresholds_for(env_id: str) -> tuple[float, ...]:
    """Return the mean returns worth timing in an environment; empty where none is known."""
    return {task.env_id: task.thresholds for task in TASKS}.get(env_id, ())
