"""The benchmark's suites: which tasks, and how their runs are evaluated. The same for every agent of a task.

Agents bring their own presets (those of Stable-Baselines3 are the zoo's). A suite fixes what makes a comparison fair:
agent steps, evaluations (the best agent by evaluation is scored), episodes, when a solved run may stop, and no random
actions in evaluations. Schedules of a preset that fall "over the run" fall over these steps, the reference's too.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.reports.tasks import BenchmarkTask, task_named


@dataclass(frozen=True)
class Suite:
    """Tasks that are evaluated alike."""

    tasks: tuple[BenchmarkTask, ...]
    # Evaluations during a run, evenly spaced.
    evaluations: int
    # Episodes of each of them.
    eval_episodes: int
    # Episodes of the final one, on fresh seeds.
    final_episodes: int

    def flags(self, task: BenchmarkTask, env_steps: int) -> list[str]:
        """Return the flags of every agent of this task, ours and the reference's alike."""
        words = ["--total-env-steps", str(env_steps)]
        words += ["--eval.every-env-steps", str(max(env_steps // self.evaluations, 1))]
        words += ["--eval.episodes", str(self.eval_episodes), "--eval.final-episodes", str(self.final_episodes)]
        words += ["--eval.epsilon", "0.0", "--no-film"]
        if task.stop_at_return is not None:
            words += ["--stop-at-return", f"{task.stop_at_return:g}"]
        return words


def _tasks(*names: str) -> tuple[BenchmarkTask, ...]:
    return tuple(task_named(name) for name in names)


SUITES = {
    "classic": Suite(
        _tasks(
            *("CartPole", "Acrobot", "MountainCar", "LunarLander"),
            *("Pendulum", "LunarLanderContinuous", "HalfCheetah"),
        ),
        evaluations=15,
        eval_episodes=20,
        final_episodes=100,
    ),
    "pixels": Suite(
        _tasks("Pong", "Breakout", "Boxing", "Freeway", "SpaceInvaders"),
        evaluations=20,
        eval_episodes=10,
        final_episodes=20,
    ),
}
