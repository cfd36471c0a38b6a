"""Signs of life of workers, and the end of trials whose worker is dead.

A worker counts up a number of its trial every few seconds. Whoever watches the study takes a trial for dead when its
number has stood still for `DEAD_SECONDS` by the watcher's own clock, so clocks of machines are never compared; on the
same machine, at once when the process is gone. A trial that is given up is ended by a step that only one process can
make, and its place in the queue is filled again (`study.repair`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEAT_SECONDS = 8.0
DEAD_SECONDS = 45.0
END_SECONDS = 15.0  # in which a run that is asked to stop saves itself
OWNER, BEAT = "worker", "beat"  # names of a trial's attributes
SAME_START_SECONDS = 1.0


def this_machine() -> str:
    """Return what tells this machine, and this container on it, from others whose process numbers mean nothing here."""
    parts = [socket.gethostname()]
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(os.readlink(file) if file.endswith("pid") else Path(file).read_text(encoding="ascii").strip())
        except OSError:
            continue
    return "|".join(parts)


def process_of(pid: int) -> dict[str, Any]:
    """Return what identifies a process, also after its number has gone to another."""
    return {"pid": pid, "started": psutil.Process(pid).create_time()}


def this_worker() -> dict[str, Any]:
    """Return what identifies this process among all workers."""
    return {"machine": this_machine(), "host": socket.gethostname(), **process_of(os.getpid())}


def living(described: Any) -> psutil.Process | None:
    """Return the process of this machine that `process_of` described, if it still runs."""
    try:
        process = psutil.Process(int(described["pid"]))
        same = abs(process.create_time() - float(described["started"])) < SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return None


def end_runs(module: str, folder: Path) -> None:
    """End the runs in a folder, on this machine, whose worker died: ask them to save and stop, wait, kill the rest.

    They are known by their command line, so that none is missed that was started in the moment of the kill.
    """
    processes = [process for process in psutil.process_iter() if _is_run(process, module, str(folder.absolute()))]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=END_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=END_SECONDS)


def _is_run(process: psutil.Process, module: str, folder: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    inside = any(word == folder or word.startswith(folder + os.sep) for word in words)
    return inside and words[1:3] == ["-m", module]


class Watch:
    """What one process has seen of the signs of life of running trials."""

    def __init__(self) -> None:
        self._machine = this_machine()
        self._seen: dict[int, tuple[Any, float]] = {}  # by trial number: its last sign, and when that was new here

    def dead(self, running: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the running trials whose worker is dead. Call it every few seconds."""
        now = time.monotonic()
        self._seen = {trial.number: self._seen.get(trial.number, (None, now)) for trial in running}
        found = []
        for trial in running:
            sign = (trial.user_attrs.get(BEAT), bool(trial.user_attrs.get(OWNER)), len(trial.intermediate_values))
            before, since = self._seen[trial.number]
            if sign != before:
                self._seen[trial.number] = (sign, now)
                since = now
            if now - since > DEAD_SECONDS or self._is_gone(trial):
                found.append(trial)
        return found

    def _is_gone(self, trial: FrozenTrial) -> bool:
        """Return whether the worker was a process of this machine that has ended."""
        owner = trial.user_attrs.get(OWNER)
        return isinstance(owner, dict) and owner.get("machine") == self._machine and living(owner) is None
