"""A worker makes trials, prunes, fails and gives up as it should, and stops when it is asked to."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from short_run import score_of
from sweep_command import environment, shared_study, use_short_runs

from agents.experiments import worker as module
from agents.experiments.study import LOST, STOPPED, SharedStudy
from agents.experiments.worker import Worker, WorkerError

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
RATES = "learning_rate = { choices = [0.01, 0.02, 0.1] }"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    use_short_runs(monkeypatch)
    for name, value in environment(SHORT_RUN_SECONDS="0").items():
        monkeypatch.setenv(name, value)


def grid(folder: Path, rates: str = RATES, head: str = "", pruner: str = "") -> SharedStudy:
    return shared_study(folder, head=f'sampler = "grid"\n{head}', search=rates, pruner=pruner)


def states(shared: SharedStudy) -> list[str]:
    return [trial.state.name for trial in sorted(shared.finished(), key=lambda trial: trial.user_attrs["place"])]


def test_a_worker_fills_every_place_with_the_score_of_its_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = grid(tmp_path, head="try_start = false")
    Worker(shared).run()
    assert states(shared) == ["COMPLETE"] * 3
    for trial in shared.trials("COMPLETE"):
        rate = trial.params["learning_rate"]
        expected = [score_of(rate, seed) for seed in (1, 2)]
        assert trial.value == pytest.approx(sum(expected) / 2) and trial.user_attrs["scores"] == pytest.approx(expected)
        assert sorted(trial.intermediate_values) == [100, 200, 300, 400] and trial.user_attrs["steps"] == 800
    best = shared.best()
    assert best is not None and best.params == {"learning_rate": 0.01}
    folders = [json.loads(file.read_text()) for file in tmp_path.glob("trials/*/seed_*/finished.jsonl")]
    assert len(folders) == 6
    assert "trial 0 begins: learning_rate 0.01" in capsys.readouterr().out


def test_a_trial_behind_the_others_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_RUN_SECONDS", "0.3")
    shared = grid(tmp_path, head="try_start = false", pruner='kind = "median"\nstartup_trials = 1')
    Worker(shared).run()
    assert states(shared) == ["COMPLETE", "PRUNED", "PRUNED"]
    pruned = shared.trials("PRUNED")
    assert all(max(trial.intermediate_values) < 400 for trial in pruned)
    assert len(list(tmp_path.glob("trials/*/seed_*/finished.jsonl"))) == 2  # the others were stopped


def test_settings_that_contradict_each_other_cost_no_run(tmp_path: Path) -> None:
    shared = shared_study(
        tmp_path,
        command="python -m agents.dqn --env CartPole --total-env-steps 400 --eval.every-env-steps 100",
        head='sampler = "grid"\ntry_start = false',
        search="n_step = { choices = [3, 7] }\nn_step_end = { choices = [5] }",
    )
    Worker(shared).run()
    assert states(shared) == ["PRUNED", "COMPLETE"]
    assert "n_step_end must lie in [1, n_step=3]" in shared.trials("PRUNED")[0].user_attrs["error"]
    assert not (tmp_path / "trials" / "0000").exists()


def test_a_worker_whose_trials_fail_one_after_another_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_RUN_ERROR", "0")
    shared = grid(tmp_path, "learning_rate = { choices = [0.01, 0.02, 0.03, 0.04] }")
    with pytest.raises(WorkerError, match="3 trials failed one after another; the last: the disk is on fire"):
        Worker(shared).run()
    assert len(shared.finished()) == 3 and states(shared) == ["FAIL"] * 3


def test_a_failed_trial_is_not_tried_again_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORT_RUN_ERROR", "0.05")
    shared = grid(tmp_path)
    Worker(shared).run()
    assert states(shared) == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "the disk is on fire" in shared.trials("FAIL")[0].user_attrs["error"]


def test_a_killed_run_is_tried_again_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_RUN_SECONDS", "0.3")
    shared = grid(tmp_path, "learning_rate = { choices = [0.01] }")
    worker = Worker(shared)
    killed = []

    def kill() -> None:
        while not killed:
            for run in getattr(worker, "runs", []):
                if len(run.scores.values) == 2 and run.process is not None:
                    killed.append(run.process.pid)
                    os.kill(run.process.pid, signal.SIGKILL)
                    return
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    worker.run()
    thread.join()
    assert states(shared) == ["COMPLETE"] and len(shared.trials("FAIL")) == 1
    resumed = [json.loads(file.read_text())["resumed"] for file in tmp_path.glob("trials/0000/*/finished.jsonl")]
    assert len(resumed) == 2 and any(resumed)


def test_a_worker_that_is_asked_to_stop_puts_its_trial_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_RUN_SECONDS", "0.5")
    shared = grid(tmp_path)
    timer = threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(SystemExit) as stopped:
        Worker(shared).run()
    assert stopped.value.code == 130
    assert [trial.user_attrs[LOST] for trial in shared.trials("FAIL")] == [STOPPED]
    monkeypatch.setenv("SHORT_RUN_SECONDS", "0")
    Worker(shared).run()
    assert states(shared) == ["COMPLETE"] * 3


def test_a_worker_that_was_taken_for_dead_leaves_its_trial_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHORT_RUN_SECONDS", "0.3")
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.1)
    shared = grid(tmp_path, "learning_rate = { choices = [0.01] }")
    other = grid(tmp_path, "learning_rate = { choices = [0.01] }")

    def give_up() -> None:
        while not (running := other.trials("RUNNING")) or not running[0].intermediate_values:
            time.sleep(0.05)
        other.give_up(running[0], "its worker died")

    thread = threading.Thread(target=give_up)
    thread.start()
    Worker(shared).run()
    thread.join()
    assert states(shared) == ["COMPLETE"] and len(shared.trials("FAIL")) == 1
    assert "trial 0 was taken over by another worker" in capsys.readouterr().out
