"""Flags of a command, read by tyro into a dataclass; a wrong one is a single line with the nearest right name."""

import ast
import contextlib
import io
import re
import sys
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TypeVar, cast

import tyro

from rl_gen_lab.cli.booleans import plain_booleans
from rl_gen_lab.cli.errors import ConfigError, UserError
from rl_gen_lab.cli.flag_types import make_registry
from rl_gen_lab.cli.spelling import current_flags

Config = TypeVar("Config")
HELP = ("-h", "--help")


def parse_flags(
    config_class: type[Config],
    argv: Sequence[str] | None,
    *,
    default: Config | None = None,
    description: str | None = None,
) -> Config:
    """Read the flags into a `config_class`. Raises ConfigError with tyro's message in one line."""
    words = plain_booleans(config_class, current_flags(list(sys.argv[1:] if argv is None else argv)))
    others = [word for word in words if word not in HELP]
    if len(words) > len(others) > 0:
        _refuse_unknown(config_class, others, default)
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            parsed = tyro.cli(
                config_class,
                args=words,
                default=default,
                prog=_program(),
                description=description,
                use_underscores=False,
                registry=make_registry(),
            )
    except SystemExit as error:
        if not error.code:  # --help
            raise
        raise ConfigError(_one_line(stderr.getvalue())) from None
    return cast(Config, parsed)


def _refuse_unknown(config_class: type[Config], words: list[str], default: Config | None) -> None:
    """Raises: ConfigError for a flag beside --help that does not exist."""
    try:
        parse_flags(config_class, words, default=default)
    except UserError as error:
        if str(error).startswith("Unrecognized"):
            raise


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
    if message.startswith("Error parsing "):
        message = _refused_value(message, text)
    unknown = re.findall(r"--[\w.-]+", message.partition("Unrecognized options:")[2])
    flags = [flag for line in re.findall(r"^--.*", similar, re.MULTILINE) for flag in re.findall(r"--[\w.-]+", line)]
    if unknown and flags:
        flags.sort(key=lambda flag: max(_similarity(flag, typed) for typed in unknown), reverse=True)
        message += f" - did you mean {' or '.join(flags[:3])}?"
    message = re.sub(r"\S{100,}", lambda word: f"{word[0][:60]}...", message)
    return message or "wrong flags; see --help"


def _refused_value(message: str, text: str) -> str:
    """Return a message about the value of a flag without Python's types: the flag, what it takes, what was typed."""
    flag, _, wrong = message.removeprefix("Error parsing ").partition(": ")
    if wrong.startswith("must be "):
        return f"{flag} {wrong}"
    typed = re.search(r"(?:instantiated from|parse for arguments:|parse arguments) (\[.*?\])(?=\.? |\.?$)", wrong)
    taken = re.search(rf"^{re.escape(flag)} (.*)$", text.partition("Argument helptext:")[2], re.MULTILINE)
    if typed is None or taken is None:
        return f"{flag}: {wrong}" if flag.startswith("--") else wrong  # else a dataclass, which says what is wrong
    takes = re.sub(r"^\{None\}\|\{(INT|FLOAT) (.*)\}$", r"a \1 \2, or None", taken[1])
    takes = takes.replace("a INT", "a whole number").replace("a FLOAT", "a number")
    return f"{flag} takes {takes}, not {' '.join(ast.literal_eval(typed[1]))}"


def _similarity(flag: str, typed: str) -> float:
    return SequenceMatcher(None, flag.replace("-", "_"), typed.replace("-", "_")).ratio()


def _program() -> str | None:
    """Return the command as it was typed: `python -m package.module` where it was started so."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else None
