"""Every number of every command has a stated range, and what lies outside is refused by name, however it comes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import command_settings
import pytest
from annotated_types import Interval
from command_settings import NEEDED, Setting

from envs import commands as envs_commands
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError, UserError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.ranges import in_words, out_of_range
from rl_gen_lab.cli.settings import Ranged
from rl_gen_lab.cli.values import from_dict, to_dict

COMMANDS = command_settings.commands()
SETTINGS = [setting for name, made_of in COMMANDS.items() for setting in command_settings.settings(name, made_of)]
NUMBERS = [setting for setting in SETTINGS if setting.is_number]
ONCE = list({(number.owner, number.field): number for number in NUMBERS}.values())
TRIED = (0, -1, math.nan, math.inf, 10**20)


@dataclass(frozen=True)
class Sizes(Ranged):
    """Settings with each kind of range."""

    count: Annotated[int, Interval(ge=1, le=10)] = 1
    share: Annotated[float, Interval(gt=0, lt=1)] | None = None
    widths: tuple[Annotated[int, Interval(ge=1, le=64)], ...] = ()


def read(number: Setting, *words: str) -> Any:
    """The value that a command gives the setting."""
    flags = [*NEEDED.get(number.command, ()), *words]
    parse = envs_commands.cli if number.command.startswith("envs.") else parse_flags
    value = parse(COMMANDS[number.command], flags)  # type: ignore[operator]
    for name in path_of(number):
        value = getattr(value, name)
    return value


def path_of(number: Setting) -> list[str]:
    """The attributes that lead to the setting from the command's own class."""

    def search(made_of: Any) -> list[str] | None:
        for name, hint in command_settings.get_type_hints(made_of).items():
            if made_of is number.owner and name == number.field:
                return [name]
            if hasattr(hint, "__dataclass_fields__") and (rest := search(hint)) is not None:
                return [name, *rest]
        return None

    found = search(COMMANDS[number.command])
    assert found is not None
    return found


def test_the_walk_sees_every_class_of_settings() -> None:
    seen = {f"{setting.owner.__module__}.{setting.owner.__name__}" for setting in SETTINGS}
    bases = {f"{base.__module__}.{base.__name__}" for setting in SETTINGS for base in setting.owner.__mro__}
    assert command_settings.config_classes_in_source() <= seen | bases
    assert {number.flag for number in NUMBERS} >= {"n_step_end", "world.sticky", "net_arch", "detect.choices.width"}


def test_every_number_of_every_command_has_a_range_with_two_ends() -> None:
    for number in NUMBERS:
        stated = [part for part in command_settings.parts_of(number.hint) if isinstance(part, Interval)]
        where = f"{number.command} --{number.flag}: annotate its type, e.g. Annotated[int, Interval(ge=1, le=64)]"
        assert len(stated) == 1, where
        assert (stated[0].ge is None) != (stated[0].gt is None), where
        assert (stated[0].le is None) != (stated[0].lt is None), where


@pytest.mark.parametrize("number", ONCE, ids=lambda number: f"{number.owner.__module__}.{number.field}")
def test_numbers_are_in_their_range_or_refused_by_name(number: Setting) -> None:
    for value in TRIED:
        wrong = out_of_range(float(value) if float in command_settings.parts_of(number.hint) else value, number.hint)
        assert (wrong is None) == number.allows(value), f"{number.flag} {value}: {wrong}"
        if wrong is None:
            continue
        needed: dict[str, Any] = {"data": Path("x"), "run": Path("x"), "env": "CartPole", "agents": ("dqn",)}
        needed["file"] = Path("x")
        needed["runs"] = (Path("x"),)
        needed["action"] = "encode"
        needed |= {"picture": "grass", "content": "grass", "style": "coffee"}
        needed["sweep"] = Path("x")
        needed = {name: needed[name] for name in required(number)}
        with pytest.raises((UserError, ValueError), match=number.field) as refused:  # made in Python
            number.owner(**needed | {number.field: (value,) if "tuple" in str(number.hint) else value})
        assert "\n" not in str(refused.value)


def required(number: Setting) -> list[str]:
    fields: dict[str, Any] = number.owner.__dataclass_fields__  # type: ignore[attr-defined]
    missing = [name for name, f in fields.items() if f.default is f.default_factory]
    return ["env", "agents"] if number.command == "agents.compare" and "agents" in fields else missing


@pytest.mark.slow
@pytest.mark.parametrize("number", ONCE, ids=lambda number: f"{number.command}.{number.flag}")
def test_flags_out_of_range_are_refused_in_a_line_that_names_them(number: Setting) -> None:
    wrong = [value for value in TRIED if not number.allows(value)]
    value = wrong[ONCE.index(number) % len(wrong)]  # one of them: the test above tries all, without a command line
    with pytest.raises((UserError, ValueError)) as refused:
        read(number, f"--{number.flag}", str(value))
    message, flag = str(refused.value), number.flag.replace("_", "-")
    assert message.startswith((f"--{flag} ", f"--{flag}:")), message
    assert "\n" not in message and "Interval(" not in message and "class '" not in message and len(message) < 160


@pytest.mark.parametrize("command", ["agents.dqn", "agents.sb3", "envs.scenes", "rl_gen_lab.train"])
def test_help_shows_the_range_of_every_number(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parse = envs_commands.cli if command.startswith("envs.") else parse_flags
    with pytest.raises(SystemExit) as stopped:
        parse(COMMANDS[command], ["--help"])  # type: ignore[operator]
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert stopped.value.code == 0
    for number in NUMBERS:
        if number.command == command:
            assert f"--{number.flag.replace('_', '-')}" in shown and in_words(number.range) in shown, number.flag


def test_a_range_is_said_and_kept_in_unions_and_tuples() -> None:
    assert out_of_range(11, Sizes.__annotations__["count"]) is None  # a string says nothing: types are resolved first
    for wrong, said in [
        ({"count": 11}, "count must be from 1 to 10, not 11"),
        ({"share": 1.0}, "share must be above 0 up to below 1, not 1.0"),
        ({"share": math.nan}, "share must be above 0 up to below 1, not nan"),
        ({"widths": (8, 65)}, "widths must be from 1 to 64, not 65"),
    ]:
        with pytest.raises(ConfigError) as refused:
            Sizes(**wrong)  # type: ignore[arg-type]
        assert str(refused.value) == said
    assert Sizes(10, 0.5, (1, 64)).share == 0.5 and Sizes(share=None).share is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"count": 0}, "old.toml: 'count' must be from 1 to 10, not 0"),
        ({"share": "inf"}, "old.toml: 'share' must be above 0 up to below 1, not inf"),
        ({"widths": [3, 65]}, "old.toml: 'widths[1]' must be from 1 to 64, not 65"),
        ({"count": "x"}, "old.toml: 'count' must be a whole number from 1 to 10, not 'x'"),
    ],
)
def test_presets_and_saved_settings_pass_through_the_same_check(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_dict(Sizes, values, "old.toml")
    assert str(refused.value) == said
    assert from_dict(Sizes, to_dict(Sizes(2, 0.5, (3,)))) == Sizes(2, 0.5, (3,))


def test_an_environment_refuses_by_the_name_of_its_flag() -> None:
    with pytest.raises(ValueError, match=r"^world\.frame_stack must be from 1 to 256, not 1000$"):
        EnvConfig(frame_stack=1_000)
    with pytest.raises(ValueError, match=r"^world\.sticky must be from 0 to below 1, not 1\.0$"):
        EnvConfig(sticky=1.0)
    with pytest.raises(ConfigError, match=r"config\.json: 'world\.noop_max' must be from 0 to 1,000"):
        from_dict(COMMANDS["agents.dqn"], {"world": {"noop_max": 10**6}}, "config.json")
