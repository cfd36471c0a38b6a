"""A stopped or killed run, resumed, ends with the same weights and the same record as one that was never stopped."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted_runs import CARTPOLE, NO_EVALUATION, PONG, SHORT, assert_same, only_run, stop_at

from agents import dqn
from agents.training import evaluator, session
from agents.training.evaluate import Act, Evaluation
from envs.config import EnvConfig
from rl_gen_lab.cli import progress
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED


@functools.cache
def whole_cartpole() -> RunFolder:
    """A run that nobody interrupted; tests share it."""
    folder = Path(tempfile.mkdtemp())
    dqn.main([*CARTPOLE, *SHORT, "--runs-dir", str(folder)])
    return only_run(folder)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [90, 300, 501], ids=["before-learning", "at-a-checkpoint", "between-checkpoints"])
def test_an_interrupted_cartpole_run_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    arguments = [*CARTPOLE, *SHORT]
    with monkeypatch.context() as patch:
        stop_at(patch, stop)
        with pytest.raises(SystemExit) as exit_:
            dqn.main([*arguments, "--runs-dir", str(tmp_path / "stopped")])
        assert exit_.value.code == EXIT_INTERRUPTED
    stopped = only_run(tmp_path / "stopped")
    assert stopped.read_result()["status"] == "interrupted"
    dqn.main(["--resume", str(stopped.path)])
    assert_same(whole_cartpole(), only_run(tmp_path / "stopped"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 3], ids=["first", "second", "final"])
def test_a_run_interrupted_in_an_evaluation_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    arguments = [*CARTPOLE, *SHORT]
    original, played = evaluator.evaluate, 0

    def evaluate(name: str, world: EnvConfig, act: Act, *rest: Any, **others: Any) -> Evaluation:
        nonlocal played
        played += 1
        steps = 0

        def stopped(obs: np.ndarray) -> np.ndarray:
            nonlocal steps
            steps += 1
            if steps == 5:
                os.kill(os.getpid(), signal.SIGINT)
            return act(obs)

        return original(name, world, stopped if played == number else act, *rest, **others)

    with monkeypatch.context() as patch:
        patch.setattr(evaluator, "evaluate", evaluate)
        with pytest.raises(SystemExit) as exit_:
            dqn.main([*arguments, "--runs-dir", str(tmp_path / "stopped")])
    assert exit_.value.code == EXIT_INTERRUPTED and played == number
    stopped = only_run(tmp_path / "stopped")
    assert stopped.read_result()["status"] == "interrupted"
    dqn.main(["--resume", str(stopped.path)])
    assert_same(whole_cartpole(), stopped)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [(), ("--replay.packed",), ("--learners", "2", "--ensemble-size", "2")])
def test_an_interrupted_game_resumes_exactly_and_shows_what_it_repeats(
    memory: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*PONG, *SHORT, *NO_EVALUATION, "--world.max-episode-frames", "800", *memory]
    dqn.main([*arguments, "--runs-dir", str(tmp_path / "whole")])
    with monkeypatch.context() as patch:
        stop_at(patch, 500)
        with pytest.raises(SystemExit):
            dqn.main([*arguments, "--runs-dir", str(tmp_path / "stopped")])
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "SECONDS_TO_FIRST", 0.0)
    capsys.readouterr()
    dqn.main(["--resume", str(only_run(tmp_path / "stopped").path)])
    # Two copies since the checkpoint at step 300, where the games were begun anew.
    assert "dqn Pong 500/900 steps · repeating the games up to here: 100 of 100 vector steps" in capsys.readouterr().out
    assert_same(only_run(tmp_path / "whole"), only_run(tmp_path / "stopped"))


@pytest.mark.slow
def test_ctrl_c_while_games_are_repeated_stops_at_once_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 500)
        with pytest.raises(SystemExit):
            dqn.main([*PONG, *SHORT, *NO_EVALUATION, "--world.max-episode-frames", "800", "--runs-dir", str(tmp_path)])
    stopped = only_run(tmp_path)
    before = {file: file.read_bytes() for file in stopped.path.rglob("*") if file.is_file()}
    repeated: list[int] = []

    def interrupt(run: session.RecordedRun, done: int, total: int) -> None:
        repeated.append(done)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session, "show_repetition", interrupt)
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        dqn.main(["--resume", str(stopped.path), "--total-env-steps", "1200", "--total-minutes", "9"])
    assert exit_.value.code == EXIT_INTERRUPTED and repeated == [1]
    told = capsys.readouterr().out
    assert f"-m agents.dqn --resume {stopped.path} --total-env-steps 1200 --total-minutes 9\n" in told
    assert before == {file: file.read_bytes() for file in stopped.path.rglob("*") if file.is_file()}


AT_ONCE = {
    "dqn": CARTPOLE,
    "dqn pixels": [*PONG, "--world.max-episode-frames", "800"],
    "ppo": ["--env", "CartPole", "--num-envs", "2", "--rollout-steps", "32", "--minibatch-size", "32", "--lstm-units",
            "4", "--normalize-obs", "--normalize-rewards"],
    "actor_critic": ["--env", "Pendulum", "--num-envs", "2", "--noise-hold-steps", "3"],
    "reinforce": ["--env", "CartPole", "--num-envs", "2"],
    "sb3": ["--algo", "ppo", "--env", "Pendulum", "--ppo.n-steps", "32", "--ppo.batch-size", "16", "--normalize"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("agent", AT_ONCE)
def test_a_run_killed_before_its_first_checkpoint_begins_anew_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str
) -> None:
    module = importlib.import_module(f"agents.{agent.partition(' ')[0]}")
    original, killed = session.RecordedRun.record, tmp_path / "killed"

    def record(self: session.RecordedRun, env_steps: int, *rest: Any) -> None:
        original(self, env_steps, *rest)
        if env_steps >= 100 and not killed.exists():
            shutil.copytree(self.run.path, killed)  # what a kill leaves

    limits = ["--total-env-steps", "200", "--eval.every-env-steps", "0", "--eval.episodes", "1"]
    limits += ["--eval.final-episodes", "1", "--log-every-env-steps", "50", "--no-film", "--wandb.mode", "disabled"]
    limits += ["--learning-starts-env-steps", "60"] if module is dqn else []
    with monkeypatch.context() as patch:
        patch.setattr(session.RecordedRun, "record", record)
        module.main(["--preset", "defaults", *AT_ONCE[agent], *limits, "--runs-dir", str(tmp_path / "whole")])
    run = RunFolder.open(killed)
    assert not run.result_file.exists() and run.read_metrics()
    np.random.default_rng()  # whatever else a new process does
    module.main(["--resume", str(killed)])
    assert_same(only_run(tmp_path / "whole"), run)


def test_an_empty_replay_memory_costs_nothing_in_the_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def running(self: session.RecordedRun) -> bool:
        sizes.append(sum(file.stat().st_size for file in (self.run.checkpoints / "latest").iterdir()))
        self.interrupt.asked = True
        return False

    monkeypatch.setattr(session.RecordedRun, "running", running)
    for capacity in ("300", "300000"):
        with pytest.raises(SystemExit):
            dqn.main([*CARTPOLE, *SHORT, "--replay.capacity", capacity, "--runs-dir", str(tmp_path)])
    assert sizes[0] == pytest.approx(sizes[1], abs=8)  # the timing in it has more or fewer digits


@pytest.mark.parametrize("version", ["newer", "older"])
def test_a_run_of_another_version_is_resumed_and_one_line_says_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    dqn.main([*CARTPOLE, *SHORT, *NO_EVALUATION, "--total-env-steps", "210", "--runs-dir", str(tmp_path)])
    run = only_run(tmp_path)
    described = run.read_config()
    config = described["config"]
    if version == "newer":
        config |= {"invented": 1, "world": config["world"] | {"fog": {"deep": True}}}
        config["replay"]["compression"] = "zip"
    else:
        del config["wandb"]["notes"], config["double"], config["device"]
    run.write_config(described)
    capsys.readouterr()
    dqn.main(["--resume", str(run.path), "--total-env-steps", "240"])
    said = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert run.read_result()["total_env_steps"] == 240
    names = [sorted(line.rpartition("no such settings: ")[2].split(", ")) for line in said]
    assert names == ([["invented", "replay.compression", "world.fog"]] if version == "newer" else [])
    kept = run.read_config()["config"]
    assert kept["total_env_steps"] == 240 and (kept.get("invented") == 1) == (version == "newer")


def start(arguments: list[str], root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "agents.dqn", *arguments, "--runs-dir", str(root)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def wait_for_checkpoint(root: Path, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not list(root.glob("*/checkpoints/latest")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.02)


LONGER = [*CARTPOLE, *SHORT, "--total-env-steps", "3000", "--checkpoint-every-env-steps", "600"]


@pytest.mark.slow
def test_a_run_killed_without_warning_resumes_exactly(tmp_path: Path) -> None:
    process = start(LONGER, tmp_path / "killed")
    wait_for_checkpoint(tmp_path / "killed", process)
    process.kill()
    process.communicate()
    killed = only_run(tmp_path / "killed")
    assert not killed.result_file.exists(), "the run ended before it was killed: make it longer"
    dqn.main(["--resume", str(killed.path)])
    dqn.main([*LONGER, "--runs-dir", str(tmp_path / "whole")])
    assert_same(only_run(tmp_path / "whole"), killed)


@pytest.mark.slow
def test_sigterm_saves_and_prints_the_command_that_resumes(tmp_path: Path) -> None:
    process = start(LONGER, tmp_path)
    wait_for_checkpoint(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    run = only_run(tmp_path)
    assert process.returncode == EXIT_INTERRUPTED, output
    assert f"python -m agents.dqn --resume {run.path}" in output
    assert json.loads(run.result_file.read_text())["status"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut short", "another task", "another algorithm", "another network", "missing"])
def test_a_checkpoint_that_does_not_fit_is_refused_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    dqn.main([*CARTPOLE, *SHORT, "--runs-dir", str(tmp_path)])
    run = only_run(tmp_path)
    latest = run.checkpoints / "latest"
    if damage == "cut short":
        file = latest / "arrays.zip"
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "missing":
        latest.rename(run.checkpoints / "elsewhere")
    else:
        config = run.read_config()
        if damage == "another task":
            config["config"]["env"] = "Acrobot"
        elif damage == "another network":
            config["config"]["backbone"] = "mlp_small"
        else:
            config |= {"exp_name": "reinforce", "command": ["python -m agents.reinforce"]}
        run.write_config(config)
    before = {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        dqn.main(["--resume", str(run.path), "--total-env-steps", "1200"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1, error
    expected = {
        "another task": "env_id: CartPole-v1 there, Acrobot-v1 here",
        "another algorithm": "is a run of python -m agents.reinforce, not of python -m agents.dqn",
        "another network": "does not fit",
    }
    assert expected.get(damage, str(run.path)) in error
    assert before == {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}
