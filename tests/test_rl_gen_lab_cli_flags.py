"""Flags: both spellings, help, and a wrong one in a single line with the nearest right name."""

import contextlib
import io
from pathlib import Path

import pytest
from agent_settings import Config, read, write_presets

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import peek_flag


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    return write_presets(tmp_path)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["--learning_rat", "1"], "--learning-rate"),
        (["--loss", "mae"], "huber"),
        (["--total_env_steps", "x"], "x"),
    ],
)
def test_a_wrong_flag_is_one_line_with_a_hint(presets: Path, argv: list[str], hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(argv, presets)
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value) and "│" not in str(refused.value)


def test_a_wrong_flag_is_told_without_rules_also_where_they_are_drawn_as_dashes(presets: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(ConfigError) as refused:
        read(["--totl-env-steps", "5"], presets)
    assert str(refused.value).startswith("Unrecognized options: --totl-env-steps")
    assert "---" not in str(refused.value)


def test_both_spellings_of_a_flag_work(presets: Path) -> None:
    assert read(["--total-env-steps", "5", "--no-double"], presets) == Config(total_env_steps=5, double=False)
    assert read(["--total_env_steps", "5", "--no_double"], presets) == Config(total_env_steps=5, double=False)


def test_help_explains_every_field_and_the_presets(presets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        read(["--help"], presets, "pong")
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "--world.sticky",
        "Probability that an action",
        "Step size",
        "default: 3.0",
        "atari, pong, defaults",
    ):
        assert words in text, words


def test_an_impossible_combination_of_flags_is_refused(presets: Path) -> None:
    with pytest.raises(ConfigError, match="learning_rate must not be negative"):
        read(["--learning_rate", "-1"], presets)


def test_a_flag_can_be_read_before_parsing() -> None:
    assert peek_flag(["--x", "1", "--env", "Pong"], "env") == "Pong"
    assert peek_flag(["--env=ALE/Pong-v5"], "env") == "ALE/Pong-v5"
    assert peek_flag(["--env", "A", "--env", "B"], "env") == "B"
    assert peek_flag(["--environment", "Pong"], "env") is None


def test_of_like_flags_only_the_nearest_names_are_given(presets: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(["--learning_rat", "1"], presets)
    assert str(caught.value) == "Unrecognized options: --learning_rat, 1 - did you mean --learning-rate?"
    with pytest.raises(ConfigError) as caught:
        read(["--zzz", "1", "--no-duble"], presets)
    assert str(caught.value).endswith(" - did you mean --no-double or --double?")
