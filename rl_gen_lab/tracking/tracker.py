"""The metrics of a run, written twice: to metrics.jsonl in its folder, and to Weights & Biases.

The local record is the one that counts: W&B may be online, offline, disabled, or die at any moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from rl_gen_lab.cli.errors import DivergedError, SaveError
from rl_gen_lab.cli.settings import WandbConfig, WandbMode
from rl_gen_lab.runs.files import plain
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.wandb_init import choose_mode, refuse_id_folder, run_arguments, safe_name
from rl_gen_lab.tracking.wandb_names import refuse_impossible, resolve, stored_settings
from rl_gen_lab.tracking.wandb_session import WandbSession, say

__all__ = ["Tracker", "WandbConfig"]


class Tracker:
    """The recorder of a run: `Tracker.start` begins it, `finish` or leaving its `with` block ends it."""

    def __init__(self, run: RunFolder, artifact_name: str, wall_offset: float) -> None:
        """Record locally only; `Tracker.start` adds W&B."""
        self.run = run
        self.session = WandbSession(run)
        self._artifact_name = artifact_name
        self._started = time.monotonic() - wall_offset

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
    ) -> Tracker:
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

        Raises ConfigError for a mode or a name that W&B would refuse, SaveError when the folder cannot be written.
        """
        tracker = cls(run, safe_name(f"{algo}-{env_id}"), wall_offset)
        refuse_impossible(config)
        if config.mode == "disabled":
            return tracker
        if (problem := tracker.session.folders.problem()) is not None:
            say(f"W&B cannot write {problem}: recording in {run} only")
            return tracker
        refuse_id_folder(run)
        with tracker.session.folders.redirected():  # W&B makes folders from its import on
            stored = cache(stored_settings)
            mode, reason = choose_mode(config.mode, stored)
            if reason:
                say(reason)
            if mode == "disabled":
                return tracker
            arguments = run_arguments(
                run,
                resolve(config, stored()),
                algo=algo,
                env_id=env_id,
                seed=seed,
                flat_config=flat_config,
                fingerprint_hash=fingerprint_hash,
                job_type=job_type,
            )
        tracker.session.start(mode, arguments)
        tracker._started = time.monotonic() - wall_offset  # W&B's own start is not the run's time
        return tracker

    @property
    def mode(self) -> WandbMode:
        """The mode in which W&B started."""
        return self.session.mode

    @property
    def wall_seconds(self) -> float:
        """Seconds since the start of the run, with those before it was resumed."""
        return time.monotonic() - self._started

    def seconds_left(self, minutes: float | None) -> float | None:
        """Seconds until the run has lasted so many minutes, 0 from then on; None without a limit."""
        return None if minutes is None else max(60 * minutes - self.wall_seconds, 0.0)

    def log(self, metrics: dict[str, float], global_step: int) -> None:
        """Write a line to the local record and to W&B. Never raises because of disk or network."""
        row = self._row(metrics, global_step)
        try:
            self.run.append_metrics(row)
        except SaveError as error:
            self.session.say_once("metrics", f"{error}; training goes on, the local record has a gap")
        self.session.log(row)

    def histogram(self, name: str, values: np.ndarray, global_step: int) -> None:
        """Show the distribution of values, any shape; NaN and infinity are left out. W&B only."""
        finite = np.asarray(values)[np.isfinite(values)]
        if finite.size:
            self.session.attempt(
                "show values", lambda wandb, _: self._row({name: wandb.Histogram(finite)}, global_step)
            )

    def video(self, name: str, path: Path, global_step: int) -> None:
        """Show an mp4 or GIF file. W&B only: the file itself is the local record."""
        suffix = path.suffix.removeprefix(".")
        self.session.attempt(
            "show a video", lambda wandb, _: self._row({name: wandb.Video(str(path), format=suffix)}, global_step)
        )

    def image(self, name: str, path: Path, global_step: int) -> None:
        """Show an image file. W&B only: the file itself is the local record."""
        self.session.attempt("show an image", lambda wandb, _: self._row({name: wandb.Image(str(path))}, global_step))

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Show a table. W&B only."""
        data = [[plain(cell) for cell in row] for row in rows]
        self.session.attempt("show a table", lambda wandb, _: {name: wandb.Table(columns=list(columns), data=data)})

    def model(self, path: Path, metadata: dict[str, Any], aliases: Sequence[str] = ()) -> None:
        """Keep a file or folder of weights as a model artifact. W&B only: the file is the local record."""
        self._keep(self._artifact_name, "model", path, metadata, aliases)

    def film(self, path: Path, metadata: dict[str, Any], aliases: Sequence[str] = ()) -> None:
        """Keep a video file as an artifact. W&B only: the file is the local record."""
        self._keep(f"{self._artifact_name}-film", "film", path, metadata, aliases)

    def _keep(self, name: str, kind: str, path: Path, metadata: dict[str, Any], aliases: Sequence[str]) -> None:
        def keep(wandb: Any, wandb_run: Any) -> None:
            artifact = wandb.Artifact(name, type=kind, metadata=plain(metadata))
            artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
            wandb_run.log_artifact(artifact, aliases=list(aliases))

        self.session.attempt(f"keep a {kind}", keep)

    def alert(self, title: str, text: str) -> None:
        """Send an alert to those who watch the project. W&B only."""
        self.session.attempt("send an alert", lambda _, wandb_run: wandb_run.alert(title[:63], text, level="WARN"))

    def alert_no_improvement(self, line: str) -> None:
        """Print that a run no longer improves, and send an alert."""
        say(line)
        self.alert("stands still", f"{self.run.path.name}: {line}")

    def alert_of(self, error: BaseException | None) -> None:
        """Send an alert if the run diverged; other errors are in the terminal alone."""
        if isinstance(error, DivergedError):
            self.alert("diverged", f"{self.run.path.name}: {error}")

    def summary(self, values: dict[str, Any]) -> None:
        """Set the final numbers that W&B shows beside the run. W&B only: result.json is the local record."""
        self.session.attempt("write the summary", lambda _, wandb_run: wandb_run.summary.update(plain(values)))

    def print_dashboard_hint(self) -> None:
        """Print a line: the mode of W&B and the commands that show or upload the run."""
        say(self.session.hint)

    def finish(self, exit_code: int) -> None:
        """End the W&B run with the exit code of the command; a second call does nothing."""
        self.session.finish(exit_code)

    def __enter__(self) -> Tracker:
        """Return the tracker itself."""
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish with the exit code that the exception, if any, will end the process with."""
        if error is None:
            self.finish(0)
        elif isinstance(error, SystemExit):
            code = error.code
            self.finish(code if isinstance(code, int) else int(code is not None))
        else:
            self.finish(130 if isinstance(error, KeyboardInterrupt) else 1)

    def _row(self, values: dict[str, Any], global_step: int) -> dict[str, Any]:
        return {"global_step": int(global_step), "wall_seconds": round(self.wall_seconds, 3), **values}
