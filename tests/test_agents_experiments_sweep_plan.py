"""A sweep's TOML file: what it says, and how what is wrong in it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_command import SEARCH, write_sweep

from agents.experiments.sweep_plan import python_words, read_sweep, start_values
from rl_gen_lab.cli.errors import ConfigError

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(60)
SHIPPED = sorted((Path(__file__).resolve().parent.parent / "configs" / "sweeps").glob("*.toml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_sweeps_of_the_project_can_be_read(file: Path) -> None:
    sweep = read_sweep(file)
    assert sweep.compared_at[-1] == sweep.budget and len(sweep.plan.seeds) == len(set(sweep.plan.seeds))
    assert not set(sweep.plan.seeds) & set(range(1, 6)), "the benchmark's seeds are for the final comparison"


def test_a_run_is_the_command_with_the_trials_settings_its_seed_and_its_folder(tmp_path: Path) -> None:
    sweep = read_sweep(write_sweep(tmp_path))
    words = python_words(sweep.plan, sweep.space.words({"learning_rate": 0.01, "gamma": 0.9}), 2, tmp_path)
    assert words[1:5] == ["-m", "agents.reinforce", "--env", "CartPole"]
    assert words[-8:] == ["--learning-rate", "0.01", "--gamma", "0.9", "--seed", "2", "--runs-dir", str(tmp_path)]


def test_trials_are_compared_at_the_evaluations_of_the_command_and_start_from_its_settings(tmp_path: Path) -> None:
    sweep = read_sweep(write_sweep(tmp_path))
    assert sweep.compared_at == [100, 200, 300, 400]
    assert start_values(sweep) == {"learning_rate": sweep.start.learning_rate, "gamma": 0.99}


def test_settings_of_a_trial_are_checked_by_the_command_itself(tmp_path: Path) -> None:
    command = "python -m agents.dqn --env CartPole"
    search = "n_step = { low = 1, high = 9 }\nn_step_end = { choices = [5] }"
    sweep = read_sweep(write_sweep(tmp_path, command=command, search=search))
    assert sweep.settings({"n_step": 6, "n_step_end": 5}).n_step == 6
    with pytest.raises(ConfigError, match=r"n_step_end must lie in \[1, n_step=3\]"):
        sweep.settings({"n_step": 3, "n_step_end": 5})


def test_a_vision_task_is_tuned_by_its_epochs(tmp_path: Path) -> None:
    command = "python -m rl_gen_lab.train segment --data datasets/pong --epochs 3"
    sweep = read_sweep(write_sweep(tmp_path, command=command, search='"optimizer.learning_rate".choices = [0.1]'))
    assert sweep.compared_at == [1, 2, 3] and sweep.plan.is_vision
    assert sweep.settings({"optimizer.learning_rate": 0.1}).optimizer.learning_rate == 0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"command": "python -m agents.dqnn"}, "cannot tune 'agents.dqnn'. Did you mean 'agents.dqn'?"),
        ({"command": ""}, "command is missing"),
        ({"command": "python -m agents.dqn --seed 3"}, "a trial gives its runs their own --seed"),
        ({"command": "python -m agents.dqn --resume=runs/x"}, "a trial gives its runs their own --resume"),
        ({"command": "python -m agents.dqn --env CartPol"}, "CartPole"),
        ({"command": "python -m agents.dqn --gama 0.9"}, "--gama, 0.9 - did you mean --gamma?"),
        ({"command": "python -m agents.dqn 'open"}, "cannot read the command"),
        ({"command": "python -m agents.reinforce --gamma 0.9"}, "'gamma' is in the command and in the search"),
        ({"head": "trails = 3"}, "unknown key 'trails'. Did you mean 'trials'?"),
        ({"head": 'sampler = "tpee"'}, "'sampler' must be one of tpe, cmaes, random, grid, not 'tpee'"),
        ({"head": "seeds = [1, 1]"}, "seeds must be one number or more, each once"),
        ({"head": "quantile = 2.0"}, "'quantile' must be from 0 to 1, not 2.0"),
        ({"pruner": 'kind = "medium"'}, "'pruner.kind' must be one of median, percentile, halving, none"),
        ({"head": 'sampler = "grid"'}, "a grid needs choices, or a step, for learning_rate"),
        ({"search": "gamm = { low = 0.9, high = 1.0 }"}, "no setting 'gamm'. Did you mean 'gamma'?"),
    ],
)
def test_a_wrong_sweep_is_refused_in_one_line(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    file = write_sweep(tmp_path, **changes)
    with pytest.raises(Exception, match=r"\S") as refused:
        read_sweep(file)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_settings_to_try_first_are_those_that_the_search_can_find(tmp_path: Path) -> None:
    first = "first = [{ gamma = 0.9 }, { learning_rate = 0.01, gamma = 0.99 }]"
    assert read_sweep(write_sweep(tmp_path, head=first)).first == (
        {"gamma": 0.9},
        {"learning_rate": 0.01, "gamma": 0.99},
    )
    for wrong, said in [
        ("first = [{ gama = 0.9 }]", "first: 'gama' is not searched. Did you mean 'gamma'?"),
        ("first = [{ gamma = 0.95 }]", "first: the search cannot find 'gamma' = 0.95"),
        ("first = 3", "'first' a list of tables"),
    ]:
        with pytest.raises(ConfigError) as refused:
            read_sweep(write_sweep(tmp_path, head=wrong))
        assert said in str(refused.value)


def test_a_file_that_is_missing_or_no_toml_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    with pytest.raises(ConfigError, match=r"Did you mean 'short\.toml'\?"):
        read_sweep(tmp_path / "shrt.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("command = \n" + SEARCH)
    with pytest.raises(ConfigError, match="cannot read the sweep"):
        read_sweep(broken)
