"""Workers as jobs: submitted by submitit, queued again, refused in one line where there is no cluster."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_command import environment, shared_study, use_short_runs, write_sweep

from agents.experiments import storage
from agents.experiments.slurm import SlurmConfig, WorkerJob, follow, submit
from agents.experiments.sweep_workers import WorkersFailedError
from rl_gen_lab.cli.errors import ConfigError

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
submitit = pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use_short_runs(monkeypatch)
    for name, value in environment(SHORT_RUN_SECONDS="0").items():
        monkeypatch.setenv(name, value)
    yield


@pytest.mark.slow
def test_jobs_work_a_study_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_sweep(tmp_path, head="trials = 3")
    folder = tmp_path / "sweeps" / "short"
    shared = shared_study(folder, head="trials = 3")
    file = write_sweep(tmp_path, head="trials = 3")
    words = [sys.executable, "-m", "sweep_command", str(file), "--storage", shared.storage, "--name", "short"]
    words += ["--runs-dir", str(tmp_path / "sweeps"), "--worker"]
    jobs = submit("local", SlurmConfig(minutes=5), words, 2, 2, folder / "jobs")
    follow(shared, jobs)
    assert len(shared.finished()) == 3 and [trial.state.name for trial in shared.finished()] == ["COMPLETE"] * 3
    assert [job.result() for job in jobs] == [0, 0]
    assert f"jobs {jobs[0].job_id} {jobs[1].job_id}; Ctrl-C leaves them running" in capsys.readouterr().out


def test_a_job_is_queued_again_as_it_was() -> None:
    job = pickle.loads(pickle.dumps(WorkerJob([sys.executable, "-c", "pass"])))
    again = job.checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission) and again.function is job
    assert job() == 0


def test_a_worker_that_fails_fails_its_job() -> None:
    with pytest.raises(WorkersFailedError, match="exit code 3"):
        WorkerJob([sys.executable, "-c", "raise SystemExit(3)"])()
    assert WorkerJob([sys.executable, "-c", "raise SystemExit(130)"])() == 130  # asked to stop


class Ended:
    """A job that has ended."""

    job_id = "7"
    paths = type("Paths", (), {"stderr": "jobs/7.err"})

    def done(self) -> bool:
        return True


def test_jobs_that_end_too_early_are_told(tmp_path: Path) -> None:
    with pytest.raises(WorkersFailedError, match=r"every job ended before the last trial; see jobs/7\.err"):
        follow(shared_study(tmp_path), [Ended()])


def test_without_a_cluster_or_submitit_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch
    with pytest.raises(ConfigError, match=r"the jobs could not be submitted: .*; --launch processes needs no cluster"):
        submit("slurm", SlurmConfig(), ["x"], 1, 1, tmp_path / "jobs")
    real: Any = storage.importlib.util.find_spec
    monkeypatch.setattr(storage.importlib.util, "find_spec", lambda name: None if name == "submitit" else real(name))
    with pytest.raises(ConfigError, match=r"needs submitit, .* the extra `slurm` has it"):
        submit("local", SlurmConfig(), ["x"], 1, 1, tmp_path / "jobs")
