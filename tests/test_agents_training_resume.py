"""A stopped or killed run, resumed, ends with the same weights and the same record as one that was never stopped."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from agents import dqn
from agents.training import evaluator, session
from agents.training.evaluate import Act, Evaluation
from envs.config import EnvConfig
from rl_gen_lab.cli import progress
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED

CARTPOLE = [
    "--preset", "defaults", "--env", "CartPole", "--num-envs", "3", "--n-step", "3", "--replay.capacity", "300",
    "--replay.priority-exponent", "0.5", "--epsilon-ladder", "2", "--epsilon-hold-steps", "3",
    "--ensemble-size", "3", "--ensemble-every-env-steps", "100",
]  # fmt: skip
PONG = [
    "--preset", "defaults", "--env", "Pong", "--num-envs", "2", "--n-step", "3", "--replay.capacity", "400",
    "--world.image-size", "36", "--standardize",
]  # fmt: skip
SHORT = [
    "--total-env-steps", "900", "--learning-starts-env-steps", "150", "--checkpoint-every-env-steps", "300",
    "--eval.every-env-steps", "450", "--eval.episodes", "2", "--eval.final-episodes", "2",
    "--log-every-env-steps", "90", "--no-film", "--wandb.mode", "disabled", "--device", "cpu",
]  # fmt: skip
NO_EVALUATION = ["--eval.every-env-steps", "0", "--eval.final-episodes", "1"]
TIMES = {"wall_seconds", "charts/SPS", "charts/cpu_percent", "charts/peak_memory_mb"}


def only_run(root: Path) -> RunFolder:
    (path,) = root.iterdir()
    return RunFolder.open(path)


def record(run: RunFolder) -> list[dict[str, object]]:
    return [{k: v for k, v in line.items() if k not in TIMES} for line in run.read_metrics()]


def assert_same(a: RunFolder, b: RunFolder) -> None:
    for name in ("last", "best"):
        first, second = (load_file(run.checkpoints / f"{name}.safetensors") for run in (a, b))
        assert first.keys() == second.keys()
        for key in first:
            np.testing.assert_array_equal(first[key], second[key], err_msg=f"{name}: {key}")
    assert record(a) == record(b)
    assert a.read_result()["final_eval"] == b.read_result()["final_eval"]


def stop_at(monkeypatch: pytest.MonkeyPatch, env_steps: int) -> None:
    """As if Ctrl-C came at this step."""
    original = session.RecordedRun.running

    def running(self: session.RecordedRun) -> bool:
        if self.log.env_steps >= env_steps:
            self.interrupt.asked = True
        return original(self)

    monkeypatch.setattr(session.RecordedRun, "running", running)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [90, 300, 501], ids=["before-learning", "at-a-checkpoint", "between-checkpoints"])
def test_an_interrupted_cartpole_run_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    arguments = [*CARTPOLE, *SHORT]
    dqn.main([*arguments, "--runs-dir", str(tmp_path / "whole")])
    with monkeypatch.context() as patch:
        stop_at(patch, stop)
        with pytest.raises(SystemExit) as exit_:
            dqn.main([*arguments, "--runs-dir", str(tmp_path / "stopped")])
        assert exit_.value.code == EXIT_INTERRUPTED
    stopped = only_run(tmp_path / "stopped")
    assert stopped.read_result()["status"] == "interrupted"
    dqn.main(["--resume", str(stopped.path)])
    assert_same(only_run(tmp_path / "whole"), only_run(tmp_path / "stopped"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 3], ids=["first", "second", "final"])
def test_a_run_interrupted_in_an_evaluation_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    arguments = [*CARTPOLE, *SHORT]
    dqn.main([*arguments, "--runs-dir", str(tmp_path / "whole")])
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
    assert_same(only_run(tmp_path / "whole"), stopped)


@pytest.mark.slow
def test_an_interrupted_game_resumes_exactly_and_shows_what_it_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*PONG, *SHORT, *NO_EVALUATION, "--world.max-episode-frames", "800"]
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

    def interrupt(self: session.RecordedRun, done: int, total: int) -> None:
        repeated.append(done)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session.RecordedRun, "_show_repetition", interrupt)
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
