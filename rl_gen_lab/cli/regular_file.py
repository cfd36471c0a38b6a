"""Reading a whole file of bounded size, and TOML from one. Pipes and devices would be waited for, or read, for ever."""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

MOST_TOML_BYTES = 2**17
MOST_TOML_DEPTH = 32
MOST_DOTS = 1_000  # in a line


def open_regular(file: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError: missing, or a folder, a pipe or a device; ValueError: no path at all."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise OSError(0, os.strerror(errno.EISDIR) if stat.S_ISDIR(kind) else "it is no regular file")
    return os.fdopen(descriptor, "rb")


def read_regular(file: Path, most: int) -> bytes:
    """Read a file whole. Raises OSError, as `open_regular`, and for more than `most` bytes."""
    with open_regular(file) as opened:
        large = os.fstat(opened.fileno()).st_size > most
        data = b"" if large else opened.read(most + 1)  # which grows meanwhile, or says that it is empty
    if large or len(data) > most:
        raise OSError(0, f"it has more than {most:,} bytes")
    return data


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file. Raises OSError, as `read_regular`; ValueError: no UTF-8, no TOML, or nested too deeply."""
    text = read_regular(file, MOST_TOML_BYTES).decode("utf-8")
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):  # the reader's time grows with their square
        raise ValueError("it is nested too deeply")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level: list[Any] = [table]
    for _ in range(MOST_TOML_DEPTH):
        level = [item for value in level for item in _items(value)]
        if not level:
            return table
    raise ValueError("it is nested too deeply")


def reason_of(error: Exception) -> str:
    """Return what an error says: of one of the system without its number and the path, which messages name already."""
    return getattr(error, "strerror", None) or str(error)


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
