"""The benchmark's suites: which worlds, how many steps, how they are scored. The same for every agent of a task.

Agents bring their own presets (those of Stable-Baselines3 are the zoo's). What a suite sets is what makes a comparison
fair: agent steps, evaluations (the best agent by evaluation is scored), episodes, when a solved run may stop, and no
random actions when scored. Schedules of a preset that fall "over the run" fall over these steps, the reference's too.
The budgets of `classic` are those of our presets, but for actor-critic's on LunarLander and MountainCar and REINFORCE's
on MountainCar, which are larger. The zoo's are larger for most on-policy agents (up to 1,000,000 steps of Acrobot,
MountainCar, LunarLander and HalfCheetah): the question here is what an agent makes of few steps.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A world of a suite."""

    # Short name or Gymnasium id.
    env: str
    # Agent steps of a run.
    env_steps: int
    # Actions are numbers: DQN does not apply.
    continuous: bool = False
    # A run may end once an evaluation's mean return is this (None: it takes all its steps).
    stop_at_return: float | None = None
    # An optional package that the world needs, which is an extra of this project too.
    needs: str | None = None

    def left_out(self) -> str | None:
        """Why it cannot be run here and how to mend that, in one line; None if it can."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        how = f'pip install -c constraints.txt -e ".[{self.needs}]"'
        return f"{self.env} is left out: it needs {self.needs}; install it with {how}"


@dataclass(frozen=True)
class Suite:
    """Tasks that are scored alike."""

    tasks: tuple[Task, ...]
    # Evaluations during a run, evenly spread.
    evaluations: int
    # Episodes in each of them.
    eval_episodes: int
    # Episodes in the final one, on fresh seeds.
    final_episodes: int

    def flags(self, task: Task, env_steps: int) -> list[str]:
        """What every agent of this task is told, ours and the reference's alike."""
        words = ["--total-env-steps", str(env_steps)]
        words += ["--eval.every-env-steps", str(max(env_steps // self.evaluations, 1))]
        words += ["--eval.episodes", str(self.eval_episodes), "--eval.final-episodes", str(self.final_episodes)]
        words += ["--eval.epsilon", "0.0", "--no-film"]
        if task.stop_at_return is not None:
            words += ["--stop-at-return", f"{task.stop_at_return:g}"]
        return words


SUITES = {
    "classic": Suite(
        (
            Task("CartPole", 100_000, stop_at_return=500),
            Task("Acrobot", 100_000),
            Task("MountainCar", 150_000),
            Task("LunarLander", 300_000),
            Task("Pendulum", 150_000, continuous=True),
            Task("LunarLanderContinuous", 300_000, continuous=True),
            Task("HalfCheetah", 300_000, continuous=True, needs="mujoco"),
        ),
        evaluations=15,
        eval_episodes=20,
        final_episodes=100,
    ),
    "pixels": Suite(
        (
            Task("Pong", 1_000_000, stop_at_return=18),
            Task("Breakout", 1_000_000),
            Task("Boxing", 1_000_000),
            Task("Freeway", 1_000_000),
            Task("SpaceInvaders", 1_000_000),
        ),
        evaluations=20,
        eval_episodes=10,
        final_episodes=20,
    ),
}
