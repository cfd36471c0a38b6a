"""The workers of a sweep on this machine: started, watched, started again when they are killed, stopped together."""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from agents.experiments.launcher import on_signals
from agents.experiments.study import SharedStudy
from agents.experiments.study_progress import StudyProgress
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED

SECONDS_BETWEEN_POLLS = 1.0
MOST_RESTARTS = 20  # of all workers together


class WorkersFailedError(UserError):
    """The workers of a sweep ended before its trials."""


class LocalWorkers:
    """Processes of one command that work on a study, until it is finished or somebody asks to stop."""

    def __init__(self, shared: SharedStudy, words: Sequence[str], workers: int) -> None:
        """words: the command of a worker, without its number."""
        self.shared, self.words, self.workers = shared, list(words), workers
        self.stopping = False
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Start the workers and show their progress. Raises: WorkersFailedError; SystemExit 130 where asked to stop."""
        restarts = 0
        with ExitStack() as stack:
            progress = stack.enter_context(StudyProgress(self.shared))
            display = progress.display
            stack.enter_context(on_signals(self._stop))
            self._running = {number: self._start(number) for number in range(1, self.workers + 1)}
            try:
                while self._running:
                    progress.update()
                    for number, child in list(self._running.items()):
                        code = child.poll()
                        if code is None:
                            continue
                        del self._running[number]
                        if code < 0 and not self.stopping and restarts < MOST_RESTARTS:
                            restarts += 1
                            display.say(f"worker {number} was killed ({signal.Signals(-code).name}): started again")
                            self._running[number] = self._start(number)
                        elif code not in (0, EXIT_INTERRUPTED):
                            display.say(f"worker {number} ended: {last_words(self.log(number))}")
                    time.sleep(SECONDS_BETWEEN_POLLS)
                progress.update()
            except BaseException:
                self._stop(signal.SIGTERM, None)
                raise
            finally:
                for child in self._running.values():
                    child.wait()
        if self.stopping:
            raise SystemExit(EXIT_INTERRUPTED)
        if len(self.shared.finished()) < self.shared.places:
            raise WorkersFailedError(
                f"every worker ended before the last trial, the first said: {last_words(self.log(1))}."
                " The same command goes on from here"
            )

    def log(self, number: int) -> Path:
        """Return the file with the output of a worker."""
        return self.shared.folder / "workers" / f"{number}.log"

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        log = self.log(number)
        with save_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                output.write(f"$ {shlex.join(self.words)}\n".encode())
                output.flush()
                return subprocess.Popen(
                    [*self.words, str(number)], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:
            print("stopping: the runs save themselves; the same command goes on from here", flush=True)
        self.stopping = True
        for child in self._running.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)


def last_words(log: Path) -> str:
    """Return the last line of a worker's output, without "error: "."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[-1].removeprefix("error: ") if lines else "nothing"
