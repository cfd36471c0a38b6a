"""Settings as plain values: they survive JSON, and an error names its source."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated

import pytest
from agent_settings import Config, World

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.values import from_dict, to_dict, to_flat_dict


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(learning_rate=math.inf, widths=(3, 4), folder=Path("a/b"), world=World(0.1, (1, 2))),
        Config(total_env_steps=2**70, double=False, env="é"),
    ],
)
def test_a_config_survives_json(config: Config) -> None:
    assert from_dict(Config, json.loads(json.dumps(to_dict(config), allow_nan=False))) == config


def test_what_an_old_file_does_not_know_keeps_its_default() -> None:
    assert from_dict(Config, {"world": {"sticky": None}, "env": "CartPole"}) == Config(env="CartPole")


def test_from_dict_names_the_source_of_an_error() -> None:
    with pytest.raises(ConfigError, match=r"runs/x/config\.json: unknown key 'world\.stick'"):
        from_dict(Config, {"world": {"stick": 1}}, "runs/x/config.json")


def test_flat_keys_have_dots() -> None:
    flat = to_flat_dict(Config())
    assert flat["world.size"] == [84, 84] and flat["learning_rate"] == 1e-4 and "world" not in flat


@dataclasses.dataclass(frozen=True)
class Noted:
    run: Annotated[Path | None, "positional"] = None


@pytest.mark.parametrize("run", [None, Path("runs/RUN")])
def test_an_optional_path_with_a_note_comes_back(run: Path | None) -> None:
    assert from_dict(Noted, to_dict(Noted(run))) == Noted(run)
