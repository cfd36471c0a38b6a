"""A search space names settings of a command; what is wrong in it is refused before anything runs."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from agents.dqn import Config
from agents.experiments.search_space import SearchSpace, read_space, settings_of
from agents.ppo import Config as PPOConfig
from agents.sb3 import Config as SB3Config
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.values import to_flat_dict
from rl_gen_lab.training.config import Config as VisionConfig

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(60)


def space(text: str, config_class: type = Config) -> SearchSpace:
    return read_space(tomllib.loads(text), config_class, "sweep.toml")


@pytest.mark.parametrize("config_class", [Config, PPOConfig, SB3Config, VisionConfig])
def test_settings_are_those_of_the_presets_and_their_flags_those_of_the_command(config_class: Any) -> None:
    found = {setting.name: setting.flag for setting in settings_of(config_class)}
    assert set(to_flat_dict(config_class())) <= set(found)
    typed = parse_flags(config_class, [found["wandb.mode"], "offline", found["seed"], "7"])  # type: ignore[var-annotated]
    assert typed.wandb.mode == "offline" and typed.seed == 7


def test_a_class_with_an_empty_name_is_left_out_of_the_flag_only() -> None:
    found = {setting.name: setting.flag for setting in settings_of(PPOConfig)}
    assert found["policy.backbone"] == "--backbone" and found["run.total_minutes"] == "--total-minutes"
    assert found["eval.every_env_steps"] == "--eval.every-env-steps"


def test_values_are_suggested_within_the_space_and_become_flags_that_the_command_reads() -> None:
    made = space(
        "learning_rate = { low = 1e-4, high = 1e-2, log = true }\nn_step = { low = 1, high = 9, step = 4 }\n"
        'double = { choices = [true, false] }\nn_step_end = { choices = ["none", 1] }\n'
        "[replay]\ncapacity = { low = 1000, high = 2000 }\n"
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    seen = set()
    for _ in range(14):
        values = made.suggest(study.ask())
        read: Any = parse_flags(Config, made.words(values))
        flat = to_flat_dict(read)
        assert {name: flat[name] for name in values} == values
        assert 1e-4 <= values["learning_rate"] <= 1e-2
        assert values["learning_rate"] == float(f"{values['learning_rate']:.4g}")
        seen.add((values["n_step"], values["double"], values["n_step_end"]))
    assert {n for n, _, _ in seen} == {1, 5, 9}
    assert {d for _, d, _ in seen} == {True, False} and {e for _, _, e in seen} == {None, 1}


def test_lists_are_choices_too() -> None:
    made = space("net_arch = { choices = [[64, 64], [256]] }", SB3Config)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    values = [made.suggest(study.ask())["net_arch"] for _ in range(10)]
    assert [64, 64] in values and [256] in values
    assert made.words({"net_arch": [64, 64]}) == ["--net-arch", "64", "64"]


def test_a_grid_has_every_combination_once() -> None:
    made = space(
        "gamma = { low = 0.9, high = 0.99, step = 0.03 }\nn_step = { low = 1, high = 3 }\ndouble.choices = [true]"
    )
    grid = made.grid()
    assert len(grid) == 4 * 3 and len({tuple(point.values()) for point in grid}) == 12
    assert sorted({round(float(str(point["gamma"])), 6) for point in grid}) == [0.9, 0.93, 0.96, 0.99]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "learning_rate = { low = 1e-4, high = 1e-2, log = true }",
            "a grid needs choices, or a step, for learning_rate",
        ),
        ("gamma = { low = 0.0, high = 1.0, step = 1e-6 }", "the grid of gamma alone has 1,000,001 values"),
        (
            "gamma = { low = 0.0, high = 1.0, step = 0.001 }\nepsilon_end = { low = 0.0, high = 1.0, step = 0.01 }",
            "the grid has 101,101 combinations, at most 10,000",
        ),
    ],
)
def test_a_grid_without_end_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        space(text).grid()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rat = { low = 1e-4, high = 1e-2 }", "no setting 'learning_rat'. Did you mean 'learning_rate'?"),
        ("capacity = { low = 10, high = 20 }", "no setting 'capacity'. Did you mean 'replay.capacity'?"),
        ("gamma = { low = 0.5, high = 1.5 }", "'gamma' must be from 0 to 1, not 1.5"),
        ("gamma = { low = 0.9, high = 0.9 }", "low of 'gamma' must be below high, not 0.9 and 0.9"),
        (
            "gamma = { low = 0.0, high = 0.9, log = true }",
            "'gamma' with log = true needs low above 0 and takes no step",
        ),
        ("gamma = 0.9", "'gamma' must be { low = ..., high = ... }"),
        ("gamma = { low = 0.9 }", "'gamma' must be { low = ..., high = ... }"),
        ("gamma = { choices = [0.9], low = 0.1 }", "'gamma' must be { low = ..., high = ... }"),
        ("gamma = { choices = [] }", "'gamma' needs a list of choices"),
        ("gamma = { lows = 0.9, high = 1.0 }", "'gamma' has no 'lows'. Did you mean 'low'?"),
        ("gamma = { low = 0.9, high = 1.0, step = 0 }", "the step of 'gamma' must be a number above 0"),
        ("n_step = { low = 1, high = 5, step = 0.5 }", "'n_step' is a whole number: so must be its low, high and step"),
        ("n_step = { low = 1.5, high = 5 }", "'n_step' must be a whole number from 1 to 10,000, not 1.5"),
        ('loss = { choices = ["hubert"] }', "'loss' must be one of huber, mse, not 'hubert'"),
        ('loss = { low = "a", high = "b" }', "'loss' is no number; give it choices"),
        ("seed = { low = 1, high = 5 }", "'seed' cannot be searched"),
        ('wandb.mode = { choices = ["offline"] }', "'wandb.mode' cannot be searched"),
        ("", "the table 'search' names no setting"),
    ],
)
def test_a_wrong_space_is_refused_in_a_line_that_names_the_file(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        space(text)
    assert str(refused.value).startswith("sweep.toml: ") and said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_only_values_that_the_search_can_find_are_known() -> None:
    made = space(
        "gamma = { low = 0.9, high = 0.95 }\nn_step = { low = 1, high = 9, step = 2 }\ndouble.choices = [true]"
    )
    assert made.known({"gamma": 0.99, "n_step": 4, "double": False}) == {}
    assert made.known({"gamma": 0.93, "n_step": 3, "double": True}) == {"gamma": 0.93, "n_step": 3, "double": True}


def test_numbers_stay_between_their_ends_when_they_are_rounded() -> None:
    (dimension,) = space("gamma = { low = 0.123456, high = 0.987654 }").dimensions
    assert dimension.value(0.123456) == 0.1235  # up, away from its end
    assert dimension.value(0.987654) == 0.987654  # 0.9877 would be beyond it
    assert dimension.value(0.555549) == 0.5555
