"""The table of tasks agrees with the names of environments; every environment stands there once."""

import pytest

from agents.reports.tasks import TASKS, BenchmarkTask, task_named, thresholds_for
from envs.names import resolve


@pytest.mark.parametrize("task", [task for task in TASKS if task.needs is None], ids=lambda task: task.env)
def test_the_full_id_is_that_of_the_short_name(task: BenchmarkTask) -> None:
    assert resolve(task.env) == task.env_id


def test_every_environment_stands_there_once() -> None:
    assert len({task.env_id for task in TASKS}) == len({task.env for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.env)
def test_a_run_stops_only_beyond_the_score_that_counts_as_solved(task: BenchmarkTask) -> None:
    assert list(task.thresholds) == sorted(task.thresholds)
    if task.stop_at_return is not None:
        assert task.stop_at_return >= task.thresholds[-1]


def test_thresholds_are_found_by_full_id() -> None:
    assert thresholds_for("ALE/Pong-v5") == thresholds_for("PongNoFrameskip-v4") == (0, 10, 18)
    assert thresholds_for("ALE/Breakout-v5") == thresholds_for("Unknown-v0") == ()
    assert task_named("CartPole").thresholds == thresholds_for("CartPole-v1") == (195, 475)


def test_a_task_says_what_it_needs() -> None:
    assert BenchmarkTask("CartPole", "CartPole-v1").unavailable_reason() is None
    assert BenchmarkTask("CartPole", "CartPole-v1", needs="pathlib").unavailable_reason() is None
    reason = BenchmarkTask("CartPole", "CartPole-v1", needs="no_such_package").unavailable_reason()
    assert reason is not None and "needs no_such_package" in reason and '".[no_such_package]"' in reason
