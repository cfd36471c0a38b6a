"""A folder that one command writes at a time, by a lock that dies with its process.

The lock is that of the system on the file `.lock` in the folder, which says who holds it; the file itself locks
nothing, and one that a kill left is taken over. A child process that inherits the descriptor holds the lock too.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import shlex
import socket
import stat
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError, SaveError, UserError
from rl_gen_lab.runs.reading import misfit, parse, printable, read_bytes

fcntl: Any
msvcrt: Any
try:
    fcntl = importlib.import_module("fcntl")
except ImportError:  # Windows locks bytes of a file instead
    fcntl, msvcrt = None, importlib.import_module("msvcrt")

FILE = ".lock"
LOCK_BEGINS = b'{"pid": '  # what the file begins with, unless a kill cut it short
LOCKED_BYTE = 2**30  # of Windows: behind all content, for nobody could read what is locked
HOLDER = {"pid": range(2**31), "command": str, "since": str, "host": str}


class FolderBusyError(UserError):
    """Another command writes in this folder."""


class FolderLock:
    """The right to write in a folder, held from the start to `release`; use as a context manager, or call that."""

    def __init__(
        self,
        folder: Path,
        shown: str,
        use: str = "is being written",
        way_on: str = "wait for it or end it",
        *,
        inherited: bool = False,
    ) -> None:
        """Take the lock. shown, use, way_on: the folder, what is done there and what to do, for the message.

        inherited: children get the descriptor, and the file stays, as one of them may outlive this process.
        Raises: FolderBusyError naming the holder, SaveError where the folder cannot be written; nothing has changed.
        """
        self.path, self._descriptor, self._stays = folder / FILE, -1, inherited
        try:
            while self._descriptor < 0:
                self._descriptor = self._take(shown, f"{use} by {{}}: {way_on}")
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, json.dumps(_this_process()).encode())
        except OSError as error:
            self.release()
            raise SaveError(f"could not lock {shown}: {error.strerror or error}") from error

    def _take(self, shown: str, busy: str) -> int:
        """Return the descriptor of the locked file; -1 where its holder has just removed it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            found, refused = (
                os.fstat(descriptor),
                f"could not lock {shown}: {self.path} is no lock of a run; move it away",
            )
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # it may be a second name of another file
                raise SaveError(refused)
            _lock(descriptor)
            if not LOCK_BEGINS.startswith(os.read(descriptor, len(LOCK_BEGINS))):  # a file of somebody's own
                raise SaveError(refused)
            if not _is_at(self.path, descriptor):
                os.close(descriptor)
                return -1
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):  # file systems without locks
                print(f"note: {shown} cannot be locked ({error.strerror}): start no second command in it", flush=True)
                return descriptor
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise FolderBusyError(f"{shown} {busy.format(holder_of(self.path))}") from None
        except SaveError:
            os.close(descriptor)
            raise
        return descriptor

    def fileno(self) -> int:
        """Return the descriptor, for children that are to hold the lock too."""
        return self._descriptor

    def release(self) -> None:
        """Give the folder free and remove the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        with contextlib.suppress(OSError):  # the folder was removed meanwhile; closing is what counts
            if _is_at(self.path, descriptor) and not self._stays:
                if fcntl is None:  # Windows removes no file that is open
                    os.close(descriptor)
                    descriptor = -1
                self.path.unlink()
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(descriptor: int) -> None:
    """Lock an open file at once. Raises OSError where another process has locked it."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
    msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    os.lseek(descriptor, 0, os.SEEK_SET)


def holder_of(file: Path) -> str:
    """Describe who holds a lock by what its file says."""
    try:
        value = parse(read_bytes(file, most=100_000))
    except (CheckpointError, ValueError):
        value = None
    if not isinstance(value, dict) or misfit(value, HOLDER) or not HOLDER.keys() <= value.keys():
        return "another process"
    where = "" if value["host"] == socket.gethostname() else f" on {printable(value['host'])}"
    return f"process {value['pid']}{where} ({printable(value['command'], 300)}, since {printable(value['since'])})"


def _this_process() -> dict[str, object]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    command = shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]])
    return {"pid": os.getpid(), "command": command, "since": since, "host": socket.gethostname()}


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False
