"""Older spellings of settings are read wherever settings are read: flags, presets, run folders."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.presets import load
from rl_gen_lab.cli.spelling import current_flags, current_keys, current_spelling, earlier_spelling
from rl_gen_lab.cli.values import from_dict, to_dict


@dataclass(frozen=True)
class Inner:
    """Of the policy."""

    normalize_obs: bool = False


@dataclass(frozen=True)
class Config:
    """Settings."""

    name: str = ""
    standardize: bool = False
    policy: Inner = field(default_factory=Inner)


EVERYTHING = Config("normalise", True, Inner(True))


def test_flags_and_not_their_values_are_respelled() -> None:
    words = ["--no-normalise-obs", "--name=normalise", "normalise", "--standardise"]
    assert current_flags(words) == ["--no-normalize-obs", "--name=normalise", "normalise", "--standardize"]
    flags = ["--name", "normalise", "--standardise", "--policy.normalise-obs"]
    assert parse_flags(Config, flags) == EVERYTHING


def test_a_flag_that_never_existed_is_left_as_it_was_typed() -> None:
    words = ["--normalise-obss", "--normalised", "--init.standardise-x"]
    assert current_flags(words) == words


@pytest.mark.parametrize("name", ["normalise_advantages", "policy.normalise_obs", "standardise", "seed", "normalize"])
def test_the_earlier_spelling_is_the_inverse(name: str) -> None:
    assert earlier_spelling(current_spelling(name)) == name


def test_keys_at_any_depth_and_not_their_values_are_respelled() -> None:
    old = {
        "name": "normalise",
        "standardise": True,
        "policy": {"normalise_obs": True},
        "list": [{"normalise_rewards": 1}],
    }
    assert current_keys(old)["list"] == [{"normalize_rewards": 1}]
    del old["list"]
    assert from_dict(Config, old) == EVERYTHING
    assert to_dict(EVERYTHING)["policy"] == {"normalize_obs": True}


def test_older_presets_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x_old.toml").write_text('name = "normalise"\nstandardise = true\n[policy]\nnormalise_obs = true\n')
    assert load(Config, ["--preset", "old"], agent="x", presets_dir=tmp_path) == EVERYTHING
