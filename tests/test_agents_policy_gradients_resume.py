"""A stopped or killed run of REINFORCE, actor-critic or PPO, resumed, ends as one that was never stopped."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import interrupted_runs
import pytest
from interrupted_runs import only_run, stop_at

from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED

pytestmark = pytest.mark.slow

SHORT = [
    "--preset", "defaults", "--total-env-steps", "900", "--checkpoint-every-env-steps", "300",
    "--eval.every-env-steps", "450", "--eval.episodes", "2", "--eval.final-episodes", "2",
    "--log-every-env-steps", "60", "--no-film", "--wandb.mode", "disabled", "--device", "cpu",
]  # fmt: skip
CARTPOLE = ["--env", "CartPole", "--num-envs", "3", "--normalize-obs", "--learning-rate-end", "0"]
MEMORY = ["--normalize-rewards", "--lstm-units", "8", "--entropy-coefficient-end", "0"]
RUNS = {
    "actor_critic": ["actor_critic", *CARTPOLE, *MEMORY, "--rollout-steps", "8"],
    # Rollouts of 96 steps: stops and checkpoints come in the middle of them, where half a rollout must be saved.
    "ppo": ["ppo", *CARTPOLE, *MEMORY, "--rollout-steps", "32", "--minibatch-size", "32", "--kl-stop-nats", "0.01"],
    "actors": [
        "ppo", "--env", "CartPole", "--num-envs", "4", "--rollout-steps", "32", "--minibatch-size", "32",
        "--lstm-units", "8", "--rollouts.actors", "2",
    ],
    "reinforce": ["reinforce", *CARTPOLE, "--normalize-rewards"],
    "reinforce-average": ["reinforce", *CARTPOLE, "--baseline", "moving-average"],
    "continuous": [
        "ppo", "--env", "Pendulum", "--num-envs", "2", "--rollout-steps", "32", "--squash", "--noise-hold-steps", "7",
    ],
    "pixels": [
        "actor_critic", "--env", "Pong", "--num-envs", "2", "--world.image-size", "36", "--eval.every-env-steps", "0",
        "--world.max-episode-frames", "400", "--rollout-steps", "7",
    ],
}  # fmt: skip


def run(arguments: list[str], root: Path) -> None:
    agent, *flags = arguments
    importlib.import_module(f"agents.{agent}").main([*SHORT, *flags, "--runs-dir", str(root)])


def resume(agent: str, run: RunFolder) -> None:
    importlib.import_module(f"agents.{agent}").main(["--resume", str(run.path)])


def assert_same(a: RunFolder, b: RunFolder) -> None:
    interrupted_runs.assert_same(a, b)
    assert a.read_result()["updates"] == b.read_result()["updates"]


# Before the first checkpoint, at one, and between two.
@pytest.mark.parametrize(
    ("name", "stop"), [*((name, 501) for name in RUNS), ("ppo", 90), ("ppo", 300), ("reinforce", 300)]
)
def test_an_interrupted_run_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stop: int
) -> None:
    run(RUNS[name], tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, stop)
        with pytest.raises(SystemExit) as exit_:
            run(RUNS[name], tmp_path / "stopped")
        assert exit_.value.code == EXIT_INTERRUPTED
    stopped = only_run(tmp_path / "stopped")
    assert stopped.read_result()["status"] == "interrupted"
    resume(RUNS[name][0], stopped)
    assert_same(only_run(tmp_path / "whole"), stopped)


@pytest.mark.parametrize("name", ["actor_critic", "ppo", "reinforce"])
def test_a_run_killed_without_warning_resumes_exactly(tmp_path: Path, name: str) -> None:
    agent, *flags = RUNS[name]
    longer = [*SHORT, *flags, "--total-env-steps", "3000", "--checkpoint-every-env-steps", "600"]
    process = subprocess.Popen(
        [sys.executable, "-m", f"agents.{agent}", *longer, "--runs-dir", str(tmp_path / "killed")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").glob("*/checkpoints/latest")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.005)
    process.kill()
    process.communicate()
    killed = only_run(tmp_path / "killed")
    assert not killed.result_file.exists(), "the run ended before it was killed: make it longer"
    resume(agent, killed)
    run([agent, *longer], tmp_path / "whole")
    assert_same(only_run(tmp_path / "whole"), killed)
