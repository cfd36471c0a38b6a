"""The runs of a trial: evaluations read as they come, runs that are continued, scores at equal steps."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from short_run import score_of as true_score
from sweep_command import environment, use_short_runs, write_sweep

from agents.experiments.sweep_plan import read_sweep
from agents.experiments.trial_runs import (
    DivergedTrialError,
    RunKilledError,
    Scores,
    SeedRun,
    TrialFailedError,
    score_of,
)

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(120)
WORDS = ["--learning-rate", "0.01"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SeedRun:
    use_short_runs(monkeypatch)
    for name, value in environment(SHORT_RUN_SECONDS="0.02").items():
        monkeypatch.setenv(name, value)
    return SeedRun(read_sweep(write_sweep(tmp_path)).plan, WORDS, 1, tmp_path / "seed_1")


def wait(run: SeedRun) -> None:
    deadline = time.monotonic() + 60
    while not run.poll():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lines(*values: float, first: int = 100) -> bytes:
    rows = [{"global_step": first * (i + 1), "wall_seconds": 1.0, "eval/return_mean": v} for i, v in enumerate(values)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_evaluations_are_read_as_they_come_and_a_torn_line_later(tmp_path: Path) -> None:
    file, scores = tmp_path / "metrics.jsonl", Scores("eval/return_mean")
    scores.read(file)  # not there yet
    text = lines(1.0, 2.0) + b'{"global_step": 250, "losses/td_loss": 3.0}\n' + lines(7.0, 8.0, 9.0)
    for end in range(0, len(text) + 1, 7):
        file.write_bytes(b"")  # the same file, longer
        with file.open("r+b") as handle:
            handle.write(text[:end])
        scores.read(file)
    file.write_bytes(text)
    scores.read(file)
    assert scores.values == [1.0, 2.0, 7.0, 8.0, 9.0] and scores.steps == [100, 200, 100, 200, 300]


def test_lines_that_are_no_evaluations_are_left_out(tmp_path: Path) -> None:
    file, scores = tmp_path / "metrics.jsonl", Scores("eval/return_mean")
    wrong = [b'["eval/return_mean"]', b'{"eval/return_mean": 1.0}', b'{"eval/return_mean": "x", "global_step": 1}']
    wrong += [b'{"eval/return_mean": 1.0, "global_step": null}', b'{"eval/return_mean": ' + b"[" * 100_000]
    file.write_bytes(b"\n".join(wrong) + b"\n" + lines(5.0))
    scores.read(file)
    assert scores.values == [5.0] and scores.steps == [100]
    os.mkfifo(tmp_path / "pipe")
    Scores("x").read(tmp_path / "pipe")  # is not waited for


def test_a_record_without_a_score_is_told(run: SeedRun) -> None:
    run.start()
    wait(run)
    found = run.run_folder()
    assert found is not None
    found.write_result(found.read_result() | {"final_eval": None})
    with pytest.raises(TrialFailedError, match="its record holds no score"):
        run.score([])


def test_a_record_that_a_resumed_run_wrote_anew_is_read_anew(tmp_path: Path) -> None:
    file, scores = tmp_path / "metrics.jsonl", Scores("eval/return_mean")
    file.write_bytes(lines(1.0, 2.0, 3.0))
    scores.read(file)
    (tmp_path / "new").write_bytes(lines(1.0, 2.0))
    os.replace(tmp_path / "new", file)
    scores.read(file)
    assert scores.values == [1.0, 2.0]


def test_scores_at_equal_steps_lie_on_the_line_between_two_evaluations() -> None:
    scores = Scores("x", steps=[100.0, 300.0], values=[10.0, 30.0])
    assert scores.at(200) == 20.0 and scores.at(100) == 10.0 and scores.at(50) == 10.0
    assert scores.at(301) is None and scores.at(400, ended=True) == 30.0
    assert Scores("x").at(0, ended=True) is None


def test_vision_models_are_compared_by_epochs(tmp_path: Path) -> None:
    file, scores = tmp_path / "metrics.jsonl", Scores("val/miou", by_epoch=True)
    rows = [{"global_step": 37 * i, "wall_seconds": 1.0, "val/miou": i / 10, "val/loss": 9.0} for i in (1, 2, 3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores.read(file)
    assert scores.steps == [1, 2, 3] and scores.at(2) == 0.2


def test_a_run_is_made_scored_and_never_made_again(run: SeedRun) -> None:
    run.start()
    wait(run)
    assert math.isclose(run.score([]), true_score(0.01, 1)) and run.scores.steps == [100, 200, 300, 400]
    assert run.cost() == {"steps": 400.0, "seconds": 1.0}
    again = SeedRun(run.plan, WORDS, 1, run.folder)
    again.start()
    assert again.process is None and again.poll()
    assert len((run.folder / "finished.jsonl").read_text().splitlines()) == 1


def test_the_score_of_evaluations_is_their_mean_over_all_steps(run: SeedRun) -> None:
    import dataclasses

    run.plan = dataclasses.replace(run.plan, score="evaluations")
    run.scores.steps, run.scores.values = [100.0, 200.0], [1.0, 3.0]  # solved after half of its steps
    assert run.score([100, 200, 300, 400]) == (1 + 3 + 3 + 3) / 4


@pytest.mark.slow
def test_a_killed_run_is_told_and_continued(run: SeedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_RUN_SECONDS", "0.4")
    run.start()
    while len(run.scores.values) < 2:
        run.poll()
        time.sleep(0.02)
    assert run.process is not None
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    with pytest.raises(RunKilledError, match="the run of seed 1 was killed"):
        run.poll()
    again = SeedRun(run.plan, WORDS, 1, run.folder)
    again.start()
    wait(again)
    assert len(list(run.folder.glob("*/config.json"))) == 1
    assert json.loads((run.folder / "finished.jsonl").read_text())["resumed"] is True
    again.remove_checkpoint()
    assert not list(run.folder.glob("*/checkpoints/latest*"))


def test_a_failing_run_is_told_in_its_own_words(run: SeedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_RUN_ERROR", "0")
    run.start()
    with pytest.raises(TrialFailedError, match=r"the disk is on fire \(exit code 1; see .*output\.log\)"):
        wait(run)


def test_a_diverged_run_is_told_apart(run: SeedRun) -> None:
    folder = run.folder / "x__y__1__z"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    result: dict[str, Any] = {"status": "failed", "error": "DivergedError: losses/td_loss became nan"}
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(DivergedTrialError, match="became nan"):
        run.poll()


def test_a_trial_is_scored_by_the_mean_or_a_quantile_of_its_seeds(run: SeedRun) -> None:
    import dataclasses

    assert score_of(run.plan, [1.0, 2.0, 6.0]) == 3.0
    assert score_of(dataclasses.replace(run.plan, quantile=0.25), [1.0, 2.0, 6.0]) == 1.5
    assert score_of(dataclasses.replace(run.plan, quantile=0.0), [1.0, 2.0, 6.0]) == 1.0
