"""Files that are written whole or not at all, whatever a kill or a full disk does."""

import errno
import json
import math
import os
import stat
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError

from rl_gen_lab.cli.errors import SaveError


@contextmanager
def save_errors(target: Path) -> Iterator[None]:
    """Turn errors of the system while `target` is written (disk full, no permission) into SaveError."""
    try:
        yield
    except OSError as error:
        raise SaveError(f"could not save {target}: {error.strerror or error}") from error
    except SafetensorError as error:  # safetensors raises its own class, also for a full disk
        raise SaveError(f"could not save {target}: {error}") from error


def sync(*paths: Path) -> None:
    """Wait until the files or folders are on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def without_links(folder: Path) -> Path:
    """Return a folder that files are to be drawn into, without its links: they would be drawn into what these point to.

    One that is a link itself is not followed but replaced. Files with a second name go too, which may be elsewhere, and
    pipes: who draws would wait for a reader. Raises SaveError.
    """
    with save_errors(folder):
        if folder.is_symlink():
            folder.unlink()
        for entry in folder.iterdir() if folder.is_dir() else ():
            kind = entry.lstat()
            if not stat.S_ISDIR(kind.st_mode) and (not stat.S_ISREG(kind.st_mode) or kind.st_nlink > 1):
                entry.unlink()
    return folder


def replace_file(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a new file beside `file`, then put it in its place in one step. Raises SaveError."""
    new = file.with_name(f"{file.name}.tmp-{os.getpid()}")
    with save_errors(file):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write(new)
            sync(new)
            os.replace(new, file)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        sync(file.parent)


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Write readable JSON whole or not at all; NaN and infinity become null. Raises SaveError."""
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    replace_file(file, lambda new: new.write_text(text, encoding="utf-8"))


class LineFile:
    """A file to which whole lines are appended, each handed to the system at once.

    It stays open in between, which is several times faster than to open it for each line, and is looked at again where
    somebody else replaced, removed or wrote to it.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it is made by the first line."""
        self.path, self._size = path, -1
        self._close: Callable[[], object] = lambda: None

    def append(self, line: bytes) -> None:
        """Append a line, with its newline, behind the last whole line. Raises OSError."""
        if self._size < 0 or (state := os.fstat(self._descriptor)).st_size != self._size or state.st_nlink == 0:
            self._reopen()
        size, self._size = self._size, -1  # until all of it is written
        if os.write(self._descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size = size + len(line)

    def _reopen(self) -> None:
        self._size = -1
        self._close()
        with open(self.path, "ab+", opener=_no_link) as file:
            drop_torn_tail(file)
            size = file.tell()
            self._descriptor = os.dup(file.fileno())
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._size = size


def _no_link(path: str, flags: int) -> int:
    """Open a file that is none by link: what a stranger's folder points to is not ours to write."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def drop_torn_tail(file: BinaryIO) -> None:
    """Cut off the half line after the last newline that a kill or a full disk left."""
    end = position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - 4096)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position < end:
        file.truncate(position)
    file.seek(0, os.SEEK_END)


def plain(value: Any) -> Any:
    """Turn numpy scalars and arrays, paths and tuples into JSON values, NaN and infinity into None."""
    if type(value) in (str, int, bool):  # most of them
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
