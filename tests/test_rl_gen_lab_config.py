"""Settings: defaults < preset < flags, round trips, and errors that name the nearest right name."""

import contextlib
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from envs import commands
from rl_gen_lab.cli.config import exit_on_error, first_look, from_dict, load, to_dict, to_flat_dict
from rl_gen_lab.cli.errors import ConfigError, UserError, suggest


@dataclass(frozen=True)
class World:
    """The world."""

    # Probability that an action repeats.
    sticky: float | None = None
    # Height and width [pixels].
    size: tuple[int, int] = (84, 84)


@dataclass(frozen=True)
class Config:
    """An agent for tests."""

    # Environment.
    env: str = "Pong"
    # Step size.
    learning_rate: float = 1e-4
    # How long to train.
    total_env_steps: int = 100
    # Two networks?
    double: bool = True
    # Which loss.
    loss: Literal["huber", "mse"] = "huber"
    # Widths of the layers.
    widths: tuple[int, ...] = ()
    # Where to write.
    folder: Path = Path("runs")
    # Settings of the world.
    world: World = World()

    def __post_init__(self) -> None:
        if self.learning_rate < 0:
            raise ConfigError("learning_rate must not be negative")


def read(argv: list[str], folder: Path, *candidates: str) -> Config:
    return load(Config, argv, agent="dqn", presets_dir=folder, preset_candidates=candidates)


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    (tmp_path / "dqn_pong.toml").write_text(
        'learning_rate = 3\nloss = "mse"\nwidths = [1, 2]\n[world]\nsticky = 0.25\n'
    )
    (tmp_path / "dqn_atari.toml").write_text("total_env_steps = 7\n")
    (tmp_path / "ppo_pong.toml").write_text("unknown = 7\n")
    return tmp_path


def test_flags_beat_the_preset_which_beats_the_defaults(presets: Path) -> None:
    config = read(["--loss", "huber", "--world.size", "42", "21"], presets, "pong", "atari")
    assert config == Config(learning_rate=3.0, widths=(1, 2), world=World(0.25, (42, 21)))
    assert isinstance(config.learning_rate, float) and isinstance(config.widths, tuple)


@pytest.mark.parametrize(
    ("argv", "candidates", "expected", "said"),
    [
        ([], ("pong", "atari"), 100, "dqn_pong.toml"),
        ([], ("breakout", "atari"), 7, "dqn_atari.toml"),
        ([], ("breakout",), 100, "defaults"),
        ([], (), 100, "defaults"),
        (["--preset", "atari"], ("pong",), 7, "dqn_atari.toml"),
        (["--preset=atari", "--total_env_steps", "8"], ("pong",), 8, "dqn_atari.toml"),
        (["--preset", "defaults"], ("pong",), 100, "defaults"),
    ],
)
def test_the_first_line_says_which_preset_is_used(
    presets: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    candidates: tuple[str, ...],
    expected: int,
    said: str,
) -> None:
    assert read(argv, presets, *candidates).total_env_steps == expected
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("preset: ") and first.endswith(said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1.0", "dqn_bad.toml: unknown key 'learning_rat'. Did you mean 'learning_rate'?"),
        ("[world]\nstiky = 1.0", "dqn_bad.toml: unknown key 'world.stiky'. Did you mean 'world.sticky'?"),
        ("sticky = 0.25", "dqn_bad.toml: unknown key 'sticky'. Did you mean 'world.sticky'?"),
        ("zzz = 1", "dqn_bad.toml: unknown key 'zzz'."),
        ('learning_rate = "1e-4"', "'learning_rate' must be a number, not '1e-4'"),
        ("total_env_steps = 1e6", "'total_env_steps' must be a whole number, not 1000000.0"),
        ("total_env_steps = true", "'total_env_steps' must be a whole number, not True"),
        ("learning_rate = true", "'learning_rate' must be a number, not True"),
        ("double = 1", "'double' must be true or false, not 1"),
        ('loss = "hubber"', "'loss' must be one of huber, mse, not 'hubber'"),
        ('widths = [1, "2"]', "'widths[1]' must be a whole number, not '2'"),
        ("world = 3", "'world' must be"),
        ("world.size = [1]", "'world.size' must be"),
        ("env = 3", "'env' must be text, not 3"),
        ("learning_rate = -1.0", "dqn_bad.toml: learning_rate must not be negative"),
        ("learning_rate = = 1", "cannot read preset"),
    ],
)
def test_a_wrong_preset_is_one_line_with_file_key_and_hint(presets: Path, text: str, message: str) -> None:
    (presets / "dqn_bad.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(["--preset", "bad"], presets)
    assert message in str(caught.value) and "dqn_bad.toml" in str(caught.value)


def test_an_unknown_preset_suggests_one_of_this_agent(presets: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown preset 'pogn', known: atari, pong, defaults\..*'pong'\?"):
        read(["--preset", "pogn"], presets)
    with pytest.raises(ConfigError, match="--preset needs a value"):
        read(["--preset"], presets)
    with pytest.raises(ConfigError, match="--preset needs a value"):
        read(["--preset", "--double"], presets)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["--learning_rat", "1"], "--learning_rate"),
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


def test_first_look_finds_a_flag_before_parsing() -> None:
    assert first_look(["--x", "1", "--env", "Pong"], "env") == "Pong"
    assert first_look(["--env=ALE/Pong-v5"], "env") == "ALE/Pong-v5"
    assert first_look(["--env", "A", "--env", "B"], "env") == "B"
    assert first_look(["--environment", "Pong"], "env") is None


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


class ForeignError(ValueError):
    """An error of another package."""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("mend\n this"), 2, "error: mend this\n"),
        (ConfigError("wrong"), 2, "error: wrong\n"),
        (ForeignError("no such world"), 2, "error: no such world\n"),
    ],
)
def test_user_errors_become_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        exit_on_error(main, ForeignError)()
    assert stopped.value.code == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("wrap", [exit_on_error, commands.command])
@pytest.mark.parametrize("size", [1, 1_000_000])
@pytest.mark.parametrize("leave", [None, 0])
def test_a_reader_who_leaves_ends_a_command_quietly(
    wrap: Callable[[Callable[[], None]], Callable[[], None]],
    size: int,
    leave: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    def main() -> None:
        print("x" * size)
        if leave is not None:
            sys.exit(leave)

    with open(writer, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(SystemExit) as stopped:
            wrap(main)()
        monkeypatch.undo()
    assert stopped.value.code == 141 and capsys.readouterr().err == ""


def test_another_pipe_that_breaks_is_no_reader_who_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        raise BrokenPipeError("ffmpeg died")

    with (tmp_path / "out").open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(BrokenPipeError, match="ffmpeg died"):
            exit_on_error(main)()
        monkeypatch.undo()


@pytest.mark.parametrize("package", ["agents", "envs", "rl_gen_lab"])
def test_every_command_is_wrapped(package: str) -> None:
    root = Path(__file__).parent.parent
    for file in (root / package).rglob("*.py"):
        text = file.read_text()
        if "__name__ == " in text:
            assert re.search(r"\n@(command|exit_on_error)\ndef main\(", text), file


def test_bugs_keep_their_traceback_and_results_pass_through() -> None:
    @exit_on_error
    def main(value: Any) -> Any:
        return 1 // value

    assert main(1) == 1
    with pytest.raises(ZeroDivisionError):
        main(0)


def test_suggestions_ignore_case_and_stay_silent_when_nothing_is_near() -> None:
    assert suggest("pong", ["Breakout", "Pong"]) == " Did you mean 'Pong'?"
    assert suggest("xyz", ["Breakout", "Pong"]) == "" == suggest("xyz", [])


def test_of_like_flags_only_the_nearest_names_are_given(presets: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(["--learning_rat", "1"], presets)
    assert str(caught.value) == "Unrecognized options: --learning_rat, 1 - did you mean --learning_rate?"
    with pytest.raises(ConfigError) as caught:
        read(["--zzz", "1", "--no-duble"], presets)
    assert str(caught.value).endswith(" - did you mean --no_double or --double?")


def test_a_terminal_without_the_character_shows_another_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written := io.BytesIO(), "ascii"))
    exit_on_error(lambda: print("12.0 ± 3.0", flush=True))()
    assert written.getvalue() == b"12.0 ? 3.0\n"
