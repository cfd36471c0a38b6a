"""The `main` of a command: errors that a user can correct are one line on stderr, a closed pipe is no error."""

import contextlib
import errno
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.cli.threads import ended_without_threads

P = ParamSpec("P")
R = TypeVar("R")
# Errors of the system that a user can mend, or nobody: no permission, a full or broken disk, a name that cannot be.
NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # also where no file is named
REFUSED = (
    *NO_ROOM,
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR),
    getattr(errno, "ESTALE", errno.EIO),  # not of every system
)


def exit_on_error(main: Callable[P, R], *also: type[Exception]) -> Callable[P, R]:
    """Wrap the main of a command: UserError or one of `also` becomes one line on stderr and exit code 2.

    So does what the system refuses about a file, wherever it is asked: no permission, no room, a loop of links.
    Ctrl-C that the command does not handle ends it with 130, without a traceback.
    """
    caught: tuple[type[Exception], ...] = (UserError, *also)

    @functools.wraps(main)
    @ended_without_threads()
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot show "±" must not end a training
            sys.stdout.reconfigure(errors="replace")
        try:
            with handle_broken_pipe():
                return main(*args, **kwargs)
        except caught as error:
            print(f"{_process()}error: {_one_line(str(error))}", file=sys.stderr, flush=True)
            sys.exit(2)
        except OSError as error:
            if error.errno not in REFUSED or (error.filename is None and error.errno not in NO_ROOM):
                raise
            what = error.filename or "a file could not be written"
            print(f"{_process()}error: {_one_line(f'{what}: {error.strerror}')}", file=sys.stderr, flush=True)
            sys.exit(2)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr, flush=True)
            sys.exit(130)  # as shells report Ctrl-C

    return wrapped


def _one_line(message: str) -> str:
    """Return a message as one line without very long words, and without what gives a terminal commands."""
    line = re.sub(r"\S{500,}", lambda word: f"{word[0][:60]}...", " ".join(message.split()))
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _process() -> str:
    """Name this process where torchrun started several, which share a terminal."""
    return f"[process {os.environ.get('RANK')}] " if os.environ.get("WORLD_SIZE", "1") != "1" else ""


@contextlib.contextmanager
def handle_broken_pipe() -> Iterator[None]:
    """End with 141 and without a message when the reader of stdout is gone, as after `| head -1`."""
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()  # now, not when Python ends and can only complain
    except BrokenPipeError:
        try:
            os.write(sys.stdout.fileno(), b"\n")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)  # as shells report SIGPIPE
        raise  # it was another pipe that broke
