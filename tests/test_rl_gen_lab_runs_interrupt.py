"""Ctrl-C: asked once, a run saves and stops; before there is anything to save, and in long calls, it ends at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from rl_gen_lab.runs.interrupt import Interrupt, ended_by_signals


def test_the_first_request_asks_and_the_second_ends() -> None:
    said: list[str] = []
    with Interrupt(said.append) as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked and said == ["SIGINT: saving, then stopping (again: stop at once)"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_with_nothing_to_save_the_first_request_ends() -> None:
    with Interrupt(pytest.fail, at_once=lambda: True), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_calls_that_never_return_to_python_are_ended_by_the_system(number: signal.Signals) -> None:
    code = (
        "import signal\nfrom rl_gen_lab.runs.interrupt import Interrupt, ended_by_signals\n"
        f"with Interrupt(print), ended_by_signals():\n    signal.raise_signal({int(number)})\n    print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-number, "")


def test_afterwards_requests_are_answered_as_before() -> None:
    with Interrupt(lambda _: None) as interrupt:
        with ended_by_signals():
            pass
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
