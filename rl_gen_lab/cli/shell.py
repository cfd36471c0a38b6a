"""Paths and commands as a user types them."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from rl_gen_lab.cli.errors import ConfigError

# What Linux and macOS allow [bytes], less the names that a run adds to a path.
LONGEST_NAME, LONGEST_PATH = 255, 3_800 if sys.platform == "linux" else 800


def typed_path(text: str) -> Path:
    """Return a path as a user typed it, with ~ for the home folder. Raises: ConfigError for one that cannot exist."""
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"'{text}' names the home folder of nobody known here: write the path in full") from error
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > LONGEST_NAME or len(os.fsencode(path.absolute())) > LONGEST_PATH or "\0" in text:
        raise ConfigError(f"'{text[:40]}...' ({len(text):,} characters) is no possible path: too long")
    return path


def short(path: Path) -> str:
    """Return a path as it is typed here: relative where it lies below the working directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def shell(*words: str | Path) -> str:
    """Return a command to copy into a shell: paths `short`, quoted where they must be."""
    return shlex.join(short(word) if isinstance(word, Path) else word for word in words)


def python() -> str | Path:
    """Return how this interpreter is started: "python" in an activated environment, else its path."""
    on_path, own = shutil.which("python"), Path(sys.executable)
    return "python" if on_path and Path(on_path).absolute() == own else own
