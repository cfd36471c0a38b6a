"""Paths and commands as a user types them."""

import shlex
import shutil
import sys
from pathlib import Path


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
