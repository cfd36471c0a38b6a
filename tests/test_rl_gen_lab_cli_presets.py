"""Settings: defaults < preset < flags, and errors that name the file, the key and the nearest right one."""

from pathlib import Path

import pytest
from agent_settings import Config, World, read, write_presets

from rl_gen_lab.cli.errors import ConfigError


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    return write_presets(tmp_path)


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
