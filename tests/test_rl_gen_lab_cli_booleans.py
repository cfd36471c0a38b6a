"""Boolean flags in every spelling, of every command."""

from __future__ import annotations

import command_settings
import pytest

from envs import commands as envs_commands
from envs import flags as envs_flags
from rl_gen_lab.cli.booleans import boolean_flags, plain_booleans
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags

COMMANDS = command_settings.commands()
DQN = COMMANDS["agents.dqn"]


@pytest.mark.parametrize(
    "spelled", ["--double", "--double=True", "--double=true", "--double True", "--no-double=False"]
)
def test_yes_is_understood(spelled: str) -> None:
    assert parse_flags(DQN, spelled.split()).double  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "spelled",
    ["--no-double", "--no_double", "--double=False", "--double=false", "--double False", "--no-double true"],
)
def test_no_is_understood(spelled: str) -> None:
    assert not parse_flags(DQN, [*spelled.split(), "--n-step", "2"]).double  # type: ignore[attr-defined]


def test_nested_and_optional_ones_too() -> None:
    flags = "--world.grayscale=False --world.no-max-pool --film=false --world.fire-reset=true --standardize TRUE"
    read = parse_flags(DQN, flags.split())
    assert (read.world.grayscale, read.world.max_pool, read.run.film) == (False, False, False)  # type: ignore[attr-defined]
    assert read.world.fire_reset is True and read.standardize  # type: ignore[attr-defined]
    for spelled, meant in [("--world.no_fire_reset", False), ("--world.fire_reset None", None)]:
        assert parse_flags(DQN, spelled.split()).world.fire_reset is meant  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_of_every_command_takes_what_a_sweep_writes(command: str) -> None:
    rewrite = envs_flags.plain_booleans if command.startswith("envs.") else plain_booleans
    booleans = {s.flag for s in command_settings.settings(command, COMMANDS[command]) if bool in parts(s)}
    assert booleans == {name for name, _ in boolean_flags(COMMANDS[command])}
    for name in booleans:
        head, dot, last = name.rpartition(".")
        for spelled in (f"--{name}=False", f"--{name.replace('_', '-')}=false", f"--{head}{dot}no-{last}"):
            assert rewrite(COMMANDS[command], [spelled]) in ([f"--{head}{dot}no_{last}"], [f"--{name}", "False"])


def parts(setting: command_settings.Setting) -> list[object]:
    return list(command_settings.parts_of(setting.hint))


def test_a_value_is_no_flag_and_words_of_others_stay() -> None:
    words = ["--env", "true", "--wandb.tags", "False", "--n-step=3", "rest"]
    assert plain_booleans(DQN, words) == words


@pytest.mark.parametrize("spelled", ["--double=maybe", "--double=", "--double=None", "--no-double=1"])
def test_what_is_neither_is_refused(spelled: str) -> None:
    with pytest.raises(ConfigError, match=r"^--(no-)?double takes true or false, not '"):
        parse_flags(DQN, [spelled])
    with pytest.raises(ValueError, match="--history takes true or false, not 'maybe'"):
        envs_commands.cli(COMMANDS["envs.scenes"], ["--history=maybe"])


def test_help_does_not_hide_a_flag_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="Unrecognized options: --nope"):
        parse_flags(DQN, ["--help", "--nope"])
    with pytest.raises(ValueError, match="Unrecognized options: --nope"):
        envs_commands.cli(COMMANDS["envs.scenes"], ["--nope", "-h"])
    with pytest.raises(SystemExit) as shown:
        parse_flags(COMMANDS["rl_gen_lab.look"], ["--pictures", "0", "--help"])  # without the run it needs
    assert shown.value.code == 0
