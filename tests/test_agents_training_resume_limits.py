"""Runs that ended, and runs that are resumed with another limit."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from interrupted_runs import CARTPOLE, NO_EVALUATION, SHORT, only_run, stop_at

from agents import dqn
from agents.training import evaluator
from agents.training.evaluate import Evaluation
from rl_gen_lab.runs.checkpoints import load_weights


def test_a_run_that_has_ended_says_so_when_it_is_resumed_and_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dqn.main([*CARTPOLE, *SHORT, "--total-env-steps", "300", "--runs-dir", str(tmp_path)])
    run = only_run(tmp_path)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(run.path.rglob("*")) if p.is_file()}
    capsys.readouterr()
    for flags in ([], ["--total-env-steps", "200"]):
        dqn.main(["--resume", str(run.path), *flags])
        (line,) = capsys.readouterr().out.splitlines()
        assert "steps are taken: there is nothing left to train" in line and "--total-env-steps" in line
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(run.path.rglob("*")) if p.is_file()}


def test_a_run_whose_minutes_are_spent_goes_on_only_with_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dqn.main([*CARTPOLE, *SHORT, *NO_EVALUATION, "--total-minutes", "0.0001", "--runs-dir", str(tmp_path)])
    run = only_run(tmp_path)
    steps = run.read_result()["total_env_steps"]
    assert steps < 300
    capsys.readouterr()
    dqn.main(["--resume", str(run.path)])
    assert "all 0.0001 minutes are spent: there is nothing left" in capsys.readouterr().out
    for flag, value in (("--total-env-steps", "nan"), ("--total-env-steps", "0"), ("--total-minutes", "soon")):
        with pytest.raises(SystemExit):
            dqn.main(["--resume", str(run.path), flag, value])
        assert re.match(rf"error: {flag} (must be|takes) a?.*\d.*{value}'?$", capsys.readouterr().err)
    dqn.main(["--resume", str(run.path), "--total-minutes", "9", "--total-env-steps", "300"])
    assert run.read_result()["total_env_steps"] == 300


@pytest.mark.slow
def test_a_longer_run_knows_the_last_evaluation_of_the_shorter_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = iter((1.0, 3.0, 0.0, 2.0, 0.0))  # at 200; at the end, at 300; final; at 500; final
    monkeypatch.setattr(
        evaluator.Evaluator,
        "_play",
        lambda self, policy, episodes, *_: (Evaluation([next(means)] * episodes, [1] * episodes, {}), np.zeros((0, 1))),
    )
    often = ["--eval.every-env-steps", "200", "--num-envs", "2", "--checkpoint-every-env-steps", "100"]
    dqn.main([*CARTPOLE, *SHORT, *often, "--total-env-steps", "300", "--runs-dir", str(tmp_path)])
    run = only_run(tmp_path)
    dqn.main(["--resume", str(run.path), "--total-env-steps", "500"])
    evaluated = [line["global_step"] for line in run.read_metrics() if "eval/return_mean" in line]
    assert evaluated == [200, 300, 500]
    assert run.read_result()["best_eval"]["global_step"] == 300
    assert load_weights(run.checkpoints / "best.safetensors")[1]["global_step"] == "300"


@pytest.mark.slow
def test_a_resumed_run_may_be_longer_but_not_otherwise_different(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dqn.main([*CARTPOLE, *SHORT, "--runs-dir", str(tmp_path)])
    run = only_run(tmp_path)
    for words, said in ((["--gamma", "0.5"], "--gamma cannot be changed"), (["again"], "unexpected argument 'again'")):
        with pytest.raises(SystemExit) as exit_:
            dqn.main(["--resume", str(run.path), *words])
        assert exit_.value.code == 2
        assert said in capsys.readouterr().err
    dqn.main(["--resume", str(run.path), "--total-env-steps", "1200"])
    assert run.read_result()["total_env_steps"] == 1200


@pytest.mark.slow
def test_a_longer_run_that_is_stopped_goes_on_to_its_new_end_by_the_command_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dqn.main([*CARTPOLE, *SHORT, *NO_EVALUATION, "--runs-dir", str(tmp_path / "my runs")])
    run = only_run(tmp_path / "my runs")
    with monkeypatch.context() as patch:
        stop_at(patch, 1_000)
        with pytest.raises(SystemExit):
            dqn.main(["--resume", str(run.path), "--total-env-steps", "1200", "--total-minutes", "50"])
    printed = capsys.readouterr().out.partition("resume with: ")[2].split("\n")[0]
    interpreter, *words, folder = shlex.split(printed)  # the name of a folder has a space
    assert Path(interpreter).absolute() == Path(sys.executable) and words == ["-m", "agents.dqn", "--resume"]
    dqn.main(["--resume", folder])
    assert run.read_result()["total_env_steps"] == 1200
    assert run.read_config()["config"]["run"]["total_minutes"] == 50
    assert run.read_config()["config"]["run"]["resume"] is None


def test_a_run_that_reached_its_goal_says_so_when_it_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dqn.main([*CARTPOLE, *SHORT, "--runs-dir", str(tmp_path), "--stop-at-return", "1"])
    run = only_run(tmp_path)
    steps = run.read_result()["total_env_steps"]
    capsys.readouterr()
    dqn.main(["--resume", str(run.path), "--total-env-steps", "5000"])
    (line,) = capsys.readouterr().out.splitlines()
    assert f"stop_at_return 1 was reached at step {steps:,}: there is nothing left" in line
    assert run.read_result()["total_env_steps"] == steps
