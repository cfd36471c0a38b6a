"""Flags of a command, read by tyro into a dataclass; a wrong one is a single line with the nearest right name."""

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TypeVar, cast

import tyro

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.spelling import current_flags

Config = TypeVar("Config")


def parse_flags(
    config_class: type[Config],
    argv: Sequence[str] | None,
    *,
    default: Config | None = None,
    description: str | None = None,
) -> Config:
    """Read the flags into a `config_class`. Raises ConfigError with tyro's message in one line."""
    stderr = io.StringIO()
    words = current_flags(list(sys.argv[1:] if argv is None else argv))
    try:
        with contextlib.redirect_stderr(stderr):
            parsed = tyro.cli(
                config_class,
                args=words,
                default=default,
                prog=_program(),
                description=description,
                use_underscores=True,
            )
    except SystemExit as error:
        if not error.code:  # --help
            raise
        raise ConfigError(_one_line(stderr.getvalue())) from None
    return cast(Config, parsed)


def peek_flag(argv: Sequence[str] | None, name: str) -> str | None:
    """Return the value of flag `--name`, with hyphens or underscores, before the flags are parsed; None when absent."""
    words = list(sys.argv[1:] if argv is None else argv)
    return take_flag(words, name.replace("_", "-"))[1] or take_flag(words, name.replace("-", "_"))[1]


def refuse_other_flags(argv: Sequence[str], known: Sequence[str]) -> None:
    """Refuse all of a resumed run's command line but the known flags, each with its value. Raises: ConfigError."""
    allowed = ", ".join(known)
    rest = iter(argv)
    for word in rest:
        flag = word.partition("=")[0].replace("_", "-")
        if not flag.startswith("--"):
            raise ConfigError(f"unexpected argument '{word}': a resumed run takes {allowed}")
        if flag not in known:
            raise ConfigError(f"{flag} cannot be changed in a resumed run; {allowed} can")
        if "=" not in word:
            next(rest, None)  # its value


def take_flag(argv: list[str], name: str) -> tuple[list[str], str | None]:
    """Return argv without `--name VALUE` or `--name=VALUE`, and the last such value. Raises ConfigError without one."""
    rest: list[str] = []
    value: str | None = None
    words = iter(argv)
    for word in words:
        flag, equals, attached = word.partition("=")
        if flag != f"--{name}":
            rest.append(word)
            continue
        value = attached if equals else next(words, None)
        if not value or value.startswith("--"):
            raise ConfigError(f"--{name} needs a value")
    return rest, value


def _one_line(box: str) -> str:
    """Reduce tyro's box to its message, without title, frame, rules and advice; of similar flags only the names."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()[1:]]
    lines = [line for line in lines if line.strip("-")]  # rules, as drawn for a terminal that cannot show "─"
    text = "\n".join(lines).partition("For full helptext")[0]
    message, _, similar = re.split(r"(Perhaps you meant:|Arguments similar to|Argument helptext:|$)", text, maxsplit=1)
    message = " ".join(message.split())
    unknown = re.findall(r"--[\w.-]+", message.partition("Unrecognized options:")[2])
    flags = [flag for line in re.findall(r"^--.*", similar, re.MULTILINE) for flag in re.findall(r"--[\w.]+", line)]
    if unknown and flags:
        flags.sort(key=lambda flag: max(_similarity(flag, typed) for typed in unknown), reverse=True)
        message += f" - did you mean {' or '.join(flags[:3])}?"
    return message or "wrong flags; see --help"


def _similarity(flag: str, typed: str) -> float:
    return SequenceMatcher(None, flag.replace("-", "_"), typed.replace("-", "_")).ratio()


def _program() -> str | None:
    """Return the command as it was typed: `python -m package.module` where it was started so."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else None
