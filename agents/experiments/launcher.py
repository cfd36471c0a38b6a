"""Runs the commands of jobs, several at a time if asked; missing runs only.

With `resume`, a run of ours that was stopped or killed continues from its checkpoint, which is exact; a run of
Stable-Baselines3 starts anew, because resuming it is not. Meanwhile the folder is locked, also by runs that outlive a
killed parent: two commands never write the same run.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from agents.experiments.jobs import Job, damaged_runs
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED
from rl_gen_lab.runs.lock import FolderLock

SECONDS_BETWEEN_POLLS = 0.2


class RunFailedError(UserError):
    """A run that was started ended with an error."""


@dataclass(frozen=True)
class Outcome:
    """The result of a job: its finished run, or None and the exit code of the command that should have made it."""

    job: Job
    folder: Path | None
    code: int = 0

    def checked(self) -> Path:
        """Return the finished run. Raises: RunFailedError."""
        if self.folder is not None:
            return self.folder
        what = f"ended with exit code {self.code}" if self.code else "left no finished run of these limits"
        raise RunFailedError(
            f"{self.job.agent.exp_name} on {self.job.env} with seed {self.job.seed} {what}; see its output."
            " The same command goes on from here."
        )


def make_all(
    jobs: Sequence[Job], runs_dir: Path, *, at_once: int = 1, resume: bool = False, logs: Path | None = None
) -> Iterator[Outcome]:
    """Make the missing runs, in this order, and yield each outcome as it comes.

    After Ctrl-C or SIGTERM nothing new is started; running commands get the signal, save and are waited for.

    Args:
        jobs: the runs that are to exist.
        runs_dir: their folder.
        at_once: runs at a time.
        resume: continue runs that were stopped, and lock the folder; nobody may start runs there by hand.
        logs: folder for the output of the runs, a file each (None: it is printed here).

    Raises:
        FolderBusyError: another command makes and continues runs there.
    """
    waiting = deque(enumerate(jobs, 1))
    running: dict[subprocess.Popen[bytes], tuple[int, Job, Path | None]] = {}
    not_resumable: set[Path] = set()
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for child in running:
            child.send_signal(number)

    with _locked(runs_dir) if resume else nullcontext() as lock, on_signals(stop, "SIGTERM"):
        for sentence in damaged_runs(jobs):
            print(sentence, flush=True)
        try:
            while running or (waiting and not stopping):
                while waiting and len(running) < at_once and not stopping:
                    number, job = waiting.popleft()
                    head = f"[{number} of {len(jobs)}]"
                    if done := job.finished():
                        print(f"{head} already finished: {done}", flush=True)
                        yield Outcome(job, done)
                        continue
                    stopped = job.resumable() if resume else None
                    stopped = None if stopped in not_resumable else stopped
                    words = job.resume_command(stopped) if stopped else job.command()
                    print(f"{head} {shlex.join(words)}", flush=True)
                    running[_start(words, job, lock, logs)] = (number, job, stopped)
                for child in [child for child in running if child.poll() is not None]:
                    number, job, stopped = running.pop(child)
                    code = child.returncode
                    stopping |= code == EXIT_INTERRUPTED
                    if stopped and code and not stopping:
                        print(f"[{number} of {len(jobs)}] {stopped} cannot be continued; it begins anew", flush=True)
                        not_resumable.add(stopped)
                        waiting.appendleft((number, job))
                    else:
                        yield Outcome(job, job.finished(), code)
                time.sleep(SECONDS_BETWEEN_POLLS if running else 0.0)
        except KeyboardInterrupt:  # the terminal sent it to the runs as well
            raise
        except BaseException:
            stop(signal.SIGTERM, None)
            raise
        finally:
            for child in running:
                child.wait()


def _start(words: Sequence[str], job: Job, lock: FolderLock | None, logs: Path | None) -> subprocess.Popen[bytes]:
    """Start a command, which holds the lock as long as it lives."""
    inherited = () if lock is None else (lock.fileno(),)
    if logs is None:
        return subprocess.Popen(words, pass_fds=inherited)
    logs.mkdir(parents=True, exist_ok=True)
    with job.log_file(logs).open("ab") as file:
        return subprocess.Popen(words, pass_fds=inherited, stdout=file, stderr=subprocess.STDOUT)


def _locked(folder: Path) -> FolderLock:
    """Lock a folder of runs, also for the processes that inherit the lock. Raises: FolderBusyError, SaveError."""
    with save_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    use = "is where runs are made,"
    return FolderLock(folder, str(folder), use, "wait for it or end it, or choose another --runs-dir", inherited=True)


@contextmanager
def on_signals(handler: Callable[[int, FrameType | None], None], *names: str) -> Iterator[None]:
    """Let signals be handled so. names: a system need not have all of them (none: every one that asks to stop)."""
    known = [getattr(signal, name) for name in names or ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {number: signal.signal(number, handler) for number in known}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def run_child(words: Sequence[str]) -> int:
    """Run a command in our terminal and return its exit code; it gets SIGTERM and Ctrl-C, and is waited for."""
    child = subprocess.Popen(words)
    with on_signals(lambda number, frame: child.send_signal(number), "SIGTERM"):
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal sent it to the child as well
            child.wait()
            raise
