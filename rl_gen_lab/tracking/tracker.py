"""What a run measures, written twice: to metrics.jsonl in its folder, and to Weights & Biases.

The local record is the one that counts. W&B may be online, offline, disabled, or die at any moment: training
goes on and one line says so. Everything W&B writes lies in the run folder, offline data within a second.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_gen_lab.cli.errors import SaveError
from rl_gen_lab.cli.settings import WandbConfig, WandbMode
from rl_gen_lab.cli.shell import shell, short
from rl_gen_lab.runs.files import plain
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.wandb_init import choose_mode, no_mode_variable, run_arguments, safe_name, settings

if TYPE_CHECKING:
    import wandb

__all__ = ["Tracker", "WandbConfig"]


class Tracker:
    """The recorder of one run: `Tracker.start` begins it, `finish` or leaving its `with` block ends it."""

    def __init__(self, run: RunFolder, artifact_name: str, wall_offset: float) -> None:
        """Record locally only; `Tracker.start` adds W&B."""
        self.run = run
        self.mode: WandbMode = "disabled"
        self._wandb: wandb.Run | None = None
        self._artifact_name = artifact_name
        self._started = time.monotonic() - wall_offset
        self._data_dir: str | None = None
        self._said: set[str] = set()
        self._look = f"W&B: disabled. The record of this run: {short(run.metrics_file)}"

    @classmethod
    def start(
        cls,
        run: RunFolder,
        config: WandbConfig,
        *,
        algo: str,
        env_id: str,
        seed: int,
        flat_config: dict[str, Any],
        fingerprint_hash: str,
        job_type: str = "train",
        wall_offset: float = 0.0,
    ) -> "Tracker":
        """Begin to record.

        Args:
            run: folder of the run; a second start in it (after a resume) continues the same W&B run.
            config: mode, project and labels.
            algo: "dqn", "sb3_dqn" ...; W&B's `exp_name`.
            env_id: full id of the environment.
            seed: seed of the run.
            flat_config: every resolved setting, keys such as "wandb.mode".
            fingerprint_hash: of the task; also a tag.
            job_type: train, eval, baseline or sweep.
            wall_offset: seconds of the run before it was resumed.

        Raises ConfigError for an unknown WANDB_MODE, SaveError when the folder cannot be written.
        """
        tracker = cls(run, safe_name(f"{algo}-{env_id}"), wall_offset)
        mode, reason = choose_mode(config.mode)
        if reason:
            tracker._say(reason)
        if mode == "disabled":
            return tracker
        arguments = run_arguments(
            run,
            config,
            algo=algo,
            env_id=env_id,
            seed=seed,
            flat_config=flat_config,
            fingerprint_hash=fingerprint_hash,
            job_type=job_type,
        )
        tracker._connect(mode, arguments)
        tracker._started = time.monotonic() - wall_offset  # W&B's own start is not the run's time
        return tracker

    @property
    def wall_seconds(self) -> float:
        """Seconds since the start of the run, with those before it was resumed."""
        return time.monotonic() - self._started

    def log(self, metrics: dict[str, float], global_step: int) -> None:
        """Write one line to the local record and to W&B. Never raises because of disk or network."""
        row = self._row(metrics, global_step)
        try:
            self.run.append_metrics(row)
        except SaveError as error:
            self._say_once("metrics", f"{error}; training goes on, the local record has a gap")
        self._log_to_wandb(row)

    def histogram(self, name: str, values: np.ndarray, global_step: int) -> None:
        """Show the distribution of values, any shape; NaN and infinity are left out. W&B only."""
        finite = np.asarray(values)[np.isfinite(values)]
        if finite.size:
            self._try("show values", lambda wandb: self._row({name: wandb.Histogram(finite)}, global_step))

    def video(self, name: str, path: Path, global_step: int) -> None:
        """Show an mp4 or GIF file. W&B only: the file itself is the local record."""
        kind = path.suffix.removeprefix(".")
        self._try("show a film", lambda wandb: self._row({name: wandb.Video(str(path), format=kind)}, global_step))

    def image(self, name: str, path: Path, global_step: int) -> None:
        """Show an image file. W&B only: the file itself is the local record."""
        self._try("show an image", lambda wandb: self._row({name: wandb.Image(str(path))}, global_step))

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Show a table. W&B only."""
        data = [[plain(cell) for cell in row] for row in rows]
        self._try("show a table", lambda wandb: {name: wandb.Table(columns=list(columns), data=data)})

    def model(self, path: Path, metadata: dict[str, Any], aliases: Sequence[str] = ()) -> None:
        """Keep a file or folder of weights as a model artifact. W&B only: the file is the local record."""

        def keep(wandb: Any) -> None:
            artifact = wandb.Artifact(self._artifact_name, type="model", metadata=plain(metadata))
            artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
            assert self._wandb is not None
            self._wandb.log_artifact(artifact, aliases=list(aliases))

        self._try("keep a model", keep)

    def summary(self, values: dict[str, Any]) -> None:
        """Set the final numbers that W&B shows beside the run. W&B only: result.json is the local record."""

        def update(_: Any) -> None:
            assert self._wandb is not None
            self._wandb.summary.update(plain(values))

        self._try("write the summary", update)

    def print_dashboard_hint(self) -> None:
        """Print one line: the mode of W&B and the commands that show or upload the run."""
        print(self._look, flush=True)

    def finish(self, exit_code: int) -> None:
        """End the W&B run with the exit code of the command; a second call does nothing."""
        if self._wandb is not None:
            wandb_run, self._wandb = self._wandb, None
            if self.mode == "online":
                self._say("W&B: sending what is left")
            try:
                wandb_run.finish(exit_code=exit_code)
            except Exception as error:
                # wandb passes over a run that began online unless it is told not to.
                upload = _command("sync", "--no-skip-online", Path(wandb_run.settings.sync_dir))
                self._say(
                    f"W&B did not finish ({_first_line(error)}); the run's own record is metrics.jsonl, and W&B's can"
                    f" be sent later: {upload}"
                )
        self._restore_environment()

    def __enter__(self) -> "Tracker":
        """Give the tracker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish with the exit code the exception, if any, will end the process with."""
        if error is None:
            self.finish(0)
        elif isinstance(error, SystemExit):
            code = error.code
            self.finish(code if isinstance(code, int) else int(code is not None))
        else:
            self.finish(130 if isinstance(error, KeyboardInterrupt) else 1)

    # ---- Weights & Biases

    def _connect(self, mode: WandbMode, arguments: dict[str, Any]) -> None:
        try:
            import wandb
        except Exception as error:  # missing, or broken in any way
            self._say(f"W&B cannot be imported ({_first_line(error)}): recording in {short(self.run.path)} only")
            return
        logging.raiseExceptions = False  # on a full disk W&B's own log would print a traceback for each of its lines
        self._data_dir = os.environ.get("WANDB_DATA_DIR", "")
        os.environ["WANDB_DATA_DIR"] = str(self.run.path / "wandb")  # or artifacts would be staged outside the run
        # A module named "agents" is taken for a library of language models, and three lines would advertise Weave.
        os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")
        folders = self.run.path / "wandb"
        for attempt in dict.fromkeys((mode, "offline")):
            earlier = set(folders.glob("run-*"))
            try:
                with no_mode_variable():
                    self._wandb = wandb.init(
                        mode=attempt,  # type: ignore[arg-type]
                        dir=str(self.run.path),
                        resume="allow",
                        reinit="create_new",  # a run that was not finished must not be taken for this one
                        settings=settings(wandb),
                        **arguments,
                    )
                self._wandb.define_metric("global_step")
                self._wandb.define_metric("wall_seconds", step_metric="global_step")
                self._wandb.define_metric("*", step_metric="global_step")
            except Exception as error:  # CommError, UsageError, a service that does not start: training must begin
                self._wandb = None
                instead = "offline" if attempt == "online" else f"in {short(self.run.path)} only"
                self._say(f"W&B could not start {attempt} ({_first_line(error)}): recording {instead}")
                with suppress(Exception, SystemExit):
                    wandb.teardown(exit_code=1)  # or its service would go on holding the id of this run
                for empty_twin in set(folders.glob("run-*")) - earlier:
                    shutil.rmtree(empty_twin, ignore_errors=True)
                continue
            self.mode = attempt
            self._look = self._describe(self._wandb)
            return
        self._restore_environment()

    def _describe(self, wandb_run: "wandb.Run") -> str:
        folder = Path(wandb_run.settings.sync_dir)
        if self.mode == "online":
            return f"W&B: online at {wandb_run.url} | in the terminal: {_command('leet', folder)}"
        return f"W&B: offline | look: {_command('leet', folder)} | upload: {_command('sync', folder)}"

    def _row(self, values: dict[str, Any], global_step: int) -> dict[str, Any]:
        return {"global_step": int(global_step), "wall_seconds": round(self.wall_seconds, 3), **values}

    def _log_to_wandb(self, row: dict[str, Any]) -> None:
        if self._wandb is None:
            return
        try:
            self._wandb.log(row)
        except Exception as error:  # a row of plain numbers is always accepted: the service itself is gone
            self._stop_wandb(error)

    def _try(self, purpose: str, action: Callable[[Any], dict[str, Any] | None]) -> None:
        """Do something that may fail by itself, a missing film say, without W&B being gone; log what it gives."""
        if self._wandb is None:
            return
        try:
            import wandb

            row = action(wandb)
        except ConnectionError as error:
            self._stop_wandb(error)
        except Exception as error:
            self._say_once(purpose, f"W&B could not {purpose}: {_first_line(error)}. The run goes on")
        else:
            if row is not None:
                self._log_to_wandb(row)

    def _stop_wandb(self, error: Exception) -> None:
        self._wandb = None
        self._restore_environment()
        self._say(f"W&B stopped: {_first_line(error)}. The run goes on in {short(self.run.metrics_file)}")
        if isinstance(error, ConnectionError):
            # Its service is dead; W&B would try to talk to it again, and fail with a traceback, when Python ends.
            with suppress(Exception, SystemExit):
                import wandb

                wandb.teardown(exit_code=1)

    def _restore_environment(self) -> None:
        if self._data_dir is not None:
            os.environ["WANDB_DATA_DIR"] = self._data_dir
            if not self._data_dir:
                del os.environ["WANDB_DATA_DIR"]
            self._data_dir = None

    def _say(self, line: str) -> None:
        print(line, flush=True)

    def _say_once(self, about: str, line: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._say(line)


def _command(*words: str | Path) -> str:
    """A wandb command as it is typed here."""
    return shell("wandb" if shutil.which("wandb") else Path(sys.executable).with_name("wandb"), *words)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
