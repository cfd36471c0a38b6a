"""Commands whose environment leaves a thread behind: they end, with their exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from rl_gen_lab.cli import threads
from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import UserError

threads.GRACE_SECONDS = 0.3

@exit_on_error
def main(how, lasts):
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    threading.Thread(target=time.sleep, args=(lasts,), name="reader of a port").start()
    print("done")
    if how == "wrong":
        raise UserError("mend this")
    if how == "bug":
        1 / 0
    sys.exit({"ok": None, "stopped": 130, "word": "why"}[how])

main(sys.argv[1], float(sys.argv[2]))
"""
NOTE = "note: other code left a thread running, which ends here: reader of a port\n"


def ended(how: str, lasts: float) -> tuple[int, str, str]:
    words = [sys.executable, "-c", COMMAND, how, str(lasts)]
    done = subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("ok", 0, ""),
        ("wrong", 2, "error: mend this\n"),
        ("stopped", 130, ""),
        ("bug", 1, "ZeroDivisionError: division by zero\n"),
        ("word", 1, "why\n"),
    ],
)
def test_a_command_ends_without_a_thread_that_goes_on(how: str, code: int, said: str) -> None:
    returncode, out, err = ended(how, 60.0)
    assert (returncode, out) == (code, "done\n") and err.endswith(said + NOTE)


def test_a_thread_that_ends_in_time_is_waited_for_and_not_named() -> None:
    assert ended("ok", 0.1) == (0, "done\n", "")
