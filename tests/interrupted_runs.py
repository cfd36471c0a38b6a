"""Tiny runs of DQN that are interrupted and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from agents.training import session
from rl_gen_lab.runs.folder import RunFolder

CARTPOLE = [
    "--preset", "defaults", "--env", "CartPole", "--num-envs", "3", "--n-step", "3", "--replay.capacity", "300",
    "--replay.priority-exponent", "0.5", "--epsilon-ladder", "2", "--epsilon-hold-steps", "3",
    "--ensemble-size", "3", "--ensemble-every-env-steps", "100", "--acting-lag-updates", "3",
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
    timed = ("rollouts/",)  # who waited for whom
    return [
        {k: v for k, v in line.items() if k not in TIMES and not k.startswith(timed)} for line in run.read_metrics()
    ]


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
