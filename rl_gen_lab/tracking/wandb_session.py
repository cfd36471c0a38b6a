"""A run at Weights & Biases that may fail at any moment: the training goes on and one line says so.

All that W&B writes lies in the run folder, offline data within a second.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_gen_lab.cli.settings import WandbMode
from rl_gen_lab.cli.shell import shell
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.wandb_folders import WandbFolders
from rl_gen_lab.tracking.wandb_init import settings
from rl_gen_lab.tracking.wandb_names import hidden_variables

if TYPE_CHECKING:
    import wandb


class WandbSession:
    """A W&B run of this process. `wandb_run` is None before `start`, where W&B cannot start, and after it has died."""

    def __init__(self, run: RunFolder) -> None:
        """Name the run folder; `start` begins the W&B run."""
        self.run = run
        self.mode: WandbMode = "disabled"
        self.wandb_run: wandb.Run | None = None
        self.hint = f"W&B: disabled. The record of this run: {run.shown(run.metrics_file)}"
        self.folders = WandbFolders(run.path)
        self._reported: set[str] = set()

    def start(self, mode: WandbMode, arguments: dict[str, Any]) -> None:
        """Begin the W&B run in this mode or, where that fails, offline. arguments: of `wandb.init`."""
        with self.folders.temporary():
            try:
                import wandb
            except Exception as error:  # missing, or broken in any way
                say(f"W&B cannot be imported ({first_line(error)}): recording in {self.run} only")
                return
            self._start(wandb, mode, arguments)

    def _start(self, wandb: Any, mode: WandbMode, arguments: dict[str, Any]) -> None:
        logging.raiseExceptions = False  # on a full disk W&B's own log would print a traceback for each of its lines
        self.folders.open()
        # W&B takes a module named "agents" for a library of language models and would advertise Weave in three lines.
        os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")
        folders = self.folders.path
        for attempt in dict.fromkeys((mode, "offline")):
            earlier = set(folders.glob("run-*"))
            try:
                with hidden_variables():
                    self.wandb_run = wandb.init(
                        mode=attempt,
                        dir=str(self.run.path),
                        resume="allow",
                        reinit="create_new",  # not the unfinished run of an earlier call
                        settings=settings(wandb),
                        **arguments,
                    )
                self.wandb_run.define_metric("global_step")
                self.wandb_run.define_metric("wall_seconds", step_metric="global_step")
                self.wandb_run.define_metric("*", step_metric="global_step")
            except Exception as error:  # CommError, UsageError, a service that does not start: training must begin
                self.wandb_run = None
                instead = "offline" if attempt == "online" else f"in {self.run} only"
                say(f"W&B could not start {attempt} ({first_line(error)}): recording {instead}")
                with suppress(Exception, SystemExit):
                    wandb.teardown(exit_code=1)  # or its service would keep the id of this run
                for empty_twin in set(folders.glob("run-*")) - earlier:
                    shutil.rmtree(empty_twin, ignore_errors=True)
                continue
            self.mode = attempt
            self.hint = self._describe(self.wandb_run)
            return
        self.folders.close()

    def log(self, row: dict[str, Any]) -> None:
        """Log a row of plain numbers or media."""
        if self.wandb_run is None:
            return
        try:
            with self.folders.temporary():  # tables and other media are made here
                self.wandb_run.log(row)
        except Exception as error:  # a row of plain numbers is always accepted: the service itself is gone
            self._stop(error)

    def attempt(self, purpose: str, action: Callable[[Any, Any], dict[str, Any] | None]) -> None:
        """Call `action(wandb, run)`, which may fail by itself, for example for a missing video; log its row."""
        if self.wandb_run is None:
            return
        try:
            import wandb

            with self.folders.temporary():
                row = action(wandb, self.wandb_run)
        except ConnectionError as error:
            self._stop(error)
        except Exception as error:
            self.say_once(purpose, f"W&B could not {purpose}: {first_line(error)}. The run goes on")
        else:
            if row is not None:
                self.log(row)

    def finish(self, exit_code: int) -> None:
        """End the W&B run with the exit code of the command; a second call does nothing."""
        if self.wandb_run is not None:
            wandb_run, self.wandb_run = self.wandb_run, None
            if self.mode == "online":
                say("W&B: sending what is left")
            try:
                with self.folders.temporary():
                    wandb_run.finish(exit_code=exit_code)
            except Exception as error:
                # wandb skips a run that began online unless --no-skip-online is given.
                upload = wandb_command("sync", "--no-skip-online", *self._parts(Path(wandb_run.settings.sync_dir)))
                say(
                    f"W&B did not finish ({first_line(error)}); the run's own record is metrics.jsonl, and W&B's can"
                    f" be sent later: {upload}"
                )
        self.folders.close()

    def say_once(self, subject: str, line: str) -> None:
        """Print a line the first time that something is reported."""
        if subject not in self._reported:
            self._reported.add(subject)
            say(line)

    def _describe(self, wandb_run: wandb.Run) -> str:
        folder = Path(wandb_run.settings.sync_dir)
        look, parts = wandb_command("leet", folder), self._parts(folder)
        if self.mode == "online":
            earlier = f" | upload of earlier parts: {wandb_command('sync', *parts[:-1])}" if parts[1:] else ""
            return f"W&B: online at {wandb_run.url} | in the terminal: {look}{earlier}"
        return f"W&B: offline | look: {look} | upload: {wandb_command('sync', *parts)}"

    def _parts(self, last: Path) -> list[Path]:
        """Return the folders that hold the run: those of offline parts not uploaded yet, in order, and the last."""
        files = sorted(self.folders.path.glob("offline-run-*/run-*.wandb"))
        waiting = [file.parent for file in files if not file.with_name(f"{file.name}.synced").exists()]
        return [*(folder for folder in waiting if folder.resolve() != last.resolve()), last]

    def _stop(self, error: Exception) -> None:
        self.wandb_run = None
        self.folders.close()
        say(f"W&B stopped: {first_line(error)}. The run goes on in {self.run.shown(self.run.metrics_file)}")
        if isinstance(error, ConnectionError):
            # Its service is dead; at the exit of Python W&B would try to reach it again and fail with a traceback.
            with suppress(Exception, SystemExit):
                import wandb

                wandb.teardown(exit_code=1)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def wandb_command(*words: str | Path) -> str:
    """Return a wandb command as it is typed here."""
    return shell("wandb" if shutil.which("wandb") else Path(sys.executable).with_name("wandb"), *words)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
