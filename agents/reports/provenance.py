"""Provenance of recorded numbers: machine, versions, commit, date and the command that repeats it."""

import re
import sys
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from agents.reports.store import Row
from rl_gen_lab.runs.provenance import describe_hardware, git_commit, hardware

# Flags that say where one machine keeps files, not how a measurement is repeated.
PLACES = ("--runs-dir", "--results-dir")
# An absolute path: a word, what follows "=" in a flag, or what follows ":" in "detector:RUN".
ABSOLUTE = re.compile(r"(^|[=:])/(?!/)(?:.*/)?([^/]+)/?$")


def provenance_of_command(module: str) -> Row:
    """Describe a measurement that this process makes: hardware, commit, date, command.

    Args:
        module: of the command, e.g. "agents.speed".
    """
    return {**provenance_of_trial(), "command": portable([f"python -m {module}", *sys.argv[1:]])}


def provenance_of_trial() -> Row:
    """Describe where and when this process makes something: hardware, commit, date."""
    return {"hardware": describe_hardware(hardware()), "commit": _commit(), "date": time.strftime("%Y-%m-%d")}


def provenance_of_run(config: dict[str, Any]) -> Row:
    """Describe a training run from its config.json: hardware, versions, commit, date, command."""
    return {
        "hardware": describe_hardware(config.get("hardware") or {}),
        "versions": " ".join(f"{name}={version}" for name, version in (config.get("versions") or {}).items()),
        "commit": str(config.get("commit") or ""),
        "date": str(config.get("started") or "")[:10],
        "command": portable([str(word) for word in config.get("command") or []]),
    }


def portable(words: Sequence[str]) -> str:
    """Join a command without the folders of one machine: no `PLACES`, and absolute paths become runs/NAME.

    >>> portable(["python -m agents.dqn", "--runs-dir", "elsewhere", "--init-backbone=/data/dqn__Pong__1"])
    'python -m agents.dqn --init-backbone=runs/dqn__Pong__1'
    """
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        flag, equals, _ = word.partition("=")
        if flag.replace("_", "-") in PLACES:
            if not equals:
                next(rest, None)
        else:
            kept.append(ABSOLUTE.sub(r"\1runs/\2", word))
    return " ".join(kept)


@cache
def _commit() -> str:
    """Return the commit, asked for once: the first CSV that is written makes the checkout look changed."""
    return git_commit()
