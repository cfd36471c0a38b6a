"""Runs of different tasks are refused; settings, not bookkeeping, make groups."""

import json
from pathlib import Path

import pytest
from synthetic_runs import make_run

from agents.reports.comparison import compare_runs
from agents.reports.grouping import IncomparableRunsError, group_runs, task_differences
from agents.reports.run_record import load_run


def test_runs_of_different_tasks_are_refused_field_by_field(tmp_path: Path) -> None:
    left = make_run(tmp_path, "dqn")
    right = make_run(tmp_path, "sb3_dqn", task={"sticky": 0.0, "image_size": 42})
    with pytest.raises(IncomparableRunsError) as refusal:
        compare_runs([load_run(left), load_run(right)])
    assert "sticky: 0.25 vs 0.0; image_size: 84 vs 42" in str(refusal.value)
    assert left.name in str(refusal.value) and right.name in str(refusal.value)


def test_every_run_that_differs_is_named(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=1)]
    runs += [make_run(tmp_path, seed=seed, task={"sticky": 0.0}) for seed in (2, 3)]
    with pytest.raises(IncomparableRunsError) as refusal:
        compare_runs([load_run(path) for path in runs])
    assert runs[1].name in str(refusal.value) and runs[2].name in str(refusal.value)


def test_a_field_that_one_task_lacks_is_said_to_be_absent(tmp_path: Path) -> None:
    left, right = make_run(tmp_path), make_run(tmp_path, seed=2, task={"mirror": True})
    assert task_differences(load_run(left), load_run(right)) == ["mirror: absent vs True"]


def test_seeds_and_bookkeeping_do_not_split_an_agent_but_settings_do(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, seed=1, settings={"n_step": 3, "wandb": {"mode": "offline"}}),
        make_run(tmp_path, seed=2, settings={"n_step": 3, "wandb": {"mode": "online"}}, minutes=30.0),
        make_run(tmp_path, seed=1, settings={"n_step": 1}),
    ]
    groups = group_runs([load_run(path) for path in runs])
    assert {label: len(members) for label, members in groups.items()} == {
        "dqn (n_step=3)": 2,
        "dqn (n_step=1)": 1,
    }


def test_a_setting_that_only_one_configuration_has_splits_too(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=1), make_run(tmp_path, seed=2, settings={"backbone": "nature"})]
    groups = group_runs([load_run(path) for path in runs])
    assert list(groups) == ["dqn (backbone=None)", "dqn (backbone=nature)"]


@pytest.mark.parametrize("off", [None, False])
def test_a_setting_that_is_off_does_not_split_runs_of_a_version_that_lacks_it(off: object, tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=1), make_run(tmp_path, seed=2, settings={"gamma_end": off})]
    assert list(group_runs([load_run(path) for path in runs])) == ["dqn"]


def test_runs_of_several_processes_are_a_group_of_their_own(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "ppo", seed=seed) for seed in (1, 2, 3)]
    file = runs[2] / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ranks": {"size": 2, "launch": "x"}}))
    groups = group_runs([load_run(path) for path in runs])
    assert {label: len(members) for label, members in groups.items()} == {
        "ppo (processes=1)": 2,
        "ppo (processes=2)": 1,
    }
