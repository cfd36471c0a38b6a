"""Workers of a sweep as jobs of a cluster, submitted by submitit: SLURM's, or processes of this machine to try it out.

A job that is preempted or reaches its time limit is put into the queue again. What it was working on is not lost: its
worker puts the trial back when it is asked to stop, or another one finds it dead, and the runs go on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from agents.experiments.launcher import run_child
from agents.experiments.storage import require
from agents.experiments.study import SharedStudy
from agents.experiments.study_progress import StudyProgress
from agents.experiments.sweep_workers import WorkersFailedError
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Few, Ranged
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED

Cluster = Literal["slurm", "local"]
SECONDS_BETWEEN_POLLS = 2.0


@dataclass(frozen=True)
class SlurmConfig(Ranged):
    """Jobs of a cluster, one for each worker."""

    # Partition of the cluster (None: its default).
    partition: str | None = None
    # Account that pays (None: yours).
    account: str | None = None
    # Time limit of a job; one that reaches it is queued again.
    minutes: Few = 240
    # Memory of a job [GB]; a run takes about half a GB, and more with a large replay memory.
    memory_gb: Annotated[float, Interval(gt=0, le=100_000)] = 4.0
    # Cores of a job (None: one for each seed of a trial).
    cores: Few | None = None
    # GPUs of a job.
    gpus: Annotated[int, Interval(ge=0, le=64)] = 0


class WorkerJob:
    """A job: one worker, as the command that `--workers` starts. submitit pickles it, and may queue it again."""

    def __init__(self, words: Sequence[str]) -> None:
        """words: the command of the worker."""
        self.words = list(words)

    def __call__(self) -> int:
        """Work until the study is finished. Raises: WorkersFailedError, which submitit keeps as the job's result."""
        code = run_child(self.words)
        if code not in (0, EXIT_INTERRUPTED):
            raise WorkersFailedError(f"the worker ended with exit code {code}; see the output of this job")
        return code

    def checkpoint(self) -> Any:
        """Return what the cluster is to run later, when it takes the job from its machine."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(cluster: Cluster, config: SlurmConfig, words: Sequence[str], workers: int, cores: int, folder: Path) -> Any:
    """Submit the workers, and return submitit's jobs. Raises: ConfigError, SaveError.

    words: the command of a worker, without its number; cores: of each, where the settings say nothing; folder: for
    submitit's own files and the output of the jobs.
    """
    require("submitit", "slurm")
    import submitit

    try:
        with save_errors(folder):
            executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            executor.update_parameters(
                timeout_min=config.minutes,
                mem_gb=config.memory_gb,
                cpus_per_task=config.cores or cores,
                gpus_per_node=config.gpus,
                name="sweep",
                **{f"slurm_{key}": getattr(config, key) for key in ("partition", "account") if getattr(config, key)},
            )
            with executor.batch():
                return [executor.submit(WorkerJob([*words, str(number)])) for number in range(1, workers + 1)]
    except (RuntimeError, submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"the jobs could not be submitted: {reason}; --launch processes needs no cluster") from error


def follow(shared: SharedStudy, jobs: Sequence[Any]) -> None:
    """Show the progress of the study until it is finished; Ctrl-C does not end the jobs. Raises: WorkersFailedError."""
    ids = " ".join(str(job.job_id) for job in jobs)
    print(f"jobs {ids}; Ctrl-C leaves them running", flush=True)
    try:
        with StudyProgress(shared) as progress:
            while len(shared.finished()) < shared.places:
                progress.update()
                if all(job.done() for job in jobs):
                    break
                time.sleep(SECONDS_BETWEEN_POLLS)
            progress.update()
    except KeyboardInterrupt:
        print(f"{os.linesep}the jobs go on: {ids}; the same command shows how far they are", flush=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    if len(shared.finished()) < shared.places:
        raise WorkersFailedError(f"every job ended before the last trial; see {jobs[0].paths.stderr}")
