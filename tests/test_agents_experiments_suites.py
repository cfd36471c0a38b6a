"""Every agent of a task gets the same steps, evaluations and end."""

import tomllib
from typing import Any

import pytest

from agents.benchmark import Config, cells_of
from agents.experiments.jobs import OUR_AGENTS
from agents.experiments.suites import SUITES
from agents.reports.tasks import BenchmarkTask
from agents.training.cli import PRESETS

# Their comments say why; recorded at their own budgets besides.
LONGER = {"actor_critic_lunarlander.toml", "actor_critic_mountaincar.toml", "reinforce_mountaincar.toml"}


@pytest.mark.parametrize("suite", SUITES)
def test_ours_and_the_reference_get_the_same_steps_evaluation_and_end(suite: Any) -> None:
    cells = cells_of(Config(suite=suite, seeds=1))
    for env in {cell.job.env for cell in cells}:
        flags = {tuple(cell.job.agent.flags) for cell in cells if cell.job.env == env}
        assert len(flags) == 1
        assert {"--total-env-steps", "--eval.every-env-steps", "--eval.final-episodes"} <= set(*flags)


@pytest.mark.parametrize("task", [task for task in SUITES["classic"].tasks if task.needs is None], ids=lambda t: t.env)
def test_a_preset_of_ours_has_the_budget_of_its_suite(task: BenchmarkTask) -> None:
    """Else schedules that fall over the run would fall otherwise in the benchmark than where they were tried."""
    for agent in OUR_AGENTS:
        preset = PRESETS / f"{agent}_{task.env.lower()}.toml"
        if not (task.continuous and agent == "dqn"):
            steps = tomllib.loads(preset.read_text(encoding="utf-8"))["total_env_steps"]
            assert steps > task.env_steps if preset.name in LONGER else steps == task.env_steps, preset.name
