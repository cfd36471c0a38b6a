"""The end of a process in which a thread of somebody else's code goes on, for which Python would wait forever."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

GRACE_SECONDS = 3.0  # for threads that end by themselves; idle executors do so at once


@contextlib.contextmanager
def ended_without_threads() -> Iterator[None]:
    """Let the process end after this block, when its main thread does, without threads that go on; a line names them.

    Nothing changes where every thread ends in time. The exit code is that of the exception that leaves the block.
    """
    code = 1  # a traceback
    try:
        yield
        code = 0
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code if isinstance(stop.code, int) else 1
        raise
    finally:
        if _waited_for():
            threading.Thread(target=_end, args=(code,), daemon=True).start()


def _waited_for() -> list[threading.Thread]:
    """Return the threads whose end Python waits for."""
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]


def _end(code: int) -> None:
    threading.main_thread().join()
    deadline = time.monotonic() + GRACE_SECONDS
    for thread in _waited_for():
        thread.join(max(deadline - time.monotonic(), 0.0))
    if left := _waited_for():
        names = left[0].name + f" and {len(left) - 1} more" * (len(left) > 1)
        sys.stdout.flush()
        print(f"note: other code left a thread running, which ends here: {names}", file=sys.stderr, flush=True)
        os._exit(code)
