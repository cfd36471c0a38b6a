"""What a run of an agent refuses or stops at: each error is one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tiny_dqn import TINY

from agents import dqn
from agents.dqn import DQN
from agents.training import session
from rl_gen_lab.runs import checkpoints
from rl_gen_lab.runs.folder import RunFolder

Fails = Callable[..., str]


@pytest.fixture
def fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run DQN with more flags; give its one line of error."""

    def run(*flags: str, resumable: bool = False) -> str:
        with pytest.raises(SystemExit) as stopped:
            dqn.main([*TINY, "--runs-dir", str(tmp_path), *flags])
        assert stopped.value.code == 2
        out, err = capsys.readouterr()
        assert not resumable or "resume with" in out
        assert resumable or "resume with" not in out  # what is refused or diverged would be so again
        lines = err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return run


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--env", "Pnog"], "'Pong'"),
        (["--env", "nowhere_at_all:World-v0"], "cannot import module 'nowhere_at_all'"),
        (["--lerning-rate", "1"], "--learning-rate"),
        (["--gamma", "high"], "--gamma"),
        (["--preset", "natur"], "'nature'"),
        (["--backbone", "naturre"], "'nature'"),
        (["--backbone", "nature"], "reads pixels"),
        (["--env", "Pendulum"], "ppo"),
        (["--device", "tpu9"], "tpu9"),
        (["--replay.capacity", "900000000000"], "--replay.capacity"),
        (["--standardize"], "standardize"),
        (["--world.sticky", "1.5"], "sticky"),
        (["--world.sticky", "0.5"], "Atari"),
        (["--seed", "-1"], "seed"),
        (["--learning-rate", "nan"], "learning-rate"),
        (["--eval.episodes", "0"], "eval.episodes"),
        (["--eval.final-episodes", "0"], "eval.final-episodes"),
        (["--eval.every-env-steps", "-1"], "eval.every-env-steps"),
        (["--eval.epsilon", "2"], "eval.epsilon"),
        (["--total-minutes", "-1"], "total-minutes"),
        (["--total-minutes", "nan"], "total-minutes"),
        (["--stop-at-return", "nan"], "stop-at-return"),
        (["--ensemble-size", "1000000"], "--ensemble-size"),
        (["--resume", "/nowhere/run"], "no run folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].strip("-"),
)
def test_bad_input_is_one_line_that_says_what_to_do(
    fails: Fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    tracked: list[Any] = []  # a W&B run that began online cannot be taken back
    monkeypatch.setattr("agents.training.run_log.Tracker.start", lambda *_, **other: tracked.append(other))
    assert said in fails(*flags)
    assert not list(tmp_path.iterdir())  # nothing began, so nothing is left
    assert tracked == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    fails: Fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    learn = DQN.learn

    def poisoned(self: DQN) -> dict[str, torch.Tensor]:
        learned = learn(self)
        if self.env_steps >= 450:
            with torch.no_grad():
                self.online.advantage.weight.fill_(bad)
            learned["losses/td_loss"] = torch.tensor(bad)
        return learned

    monkeypatch.setattr(DQN, "learn", poisoned)
    error = fails()
    assert "td_loss became" in error and "step 45" in error and "learning_rate" in error
    (path,) = tmp_path.iterdir()
    run = RunFolder.open(path)
    state = checkpoints.load_state(run.checkpoints / "latest")
    assert state["session"]["env_steps"] == 400
    assert all(torch.isfinite(tensor).all() for tensor in state["agent"]["online"].values())
    assert run.read_result()["status"] == "failed"


def test_a_run_that_diverges_at_once_is_not_to_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DQN, "learn", lambda self: {"losses/td_loss": torch.tensor(float("nan"))})
    with pytest.raises(SystemExit):
        dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    said = capsys.readouterr()
    assert "td_loss became nan" in said.err
    assert "resume with" not in said.out


def test_a_run_that_diverges_sends_an_alert(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(session.Tracker, "alert", lambda self, *words: sent.append(words))
    monkeypatch.setattr(DQN, "learn", lambda self: {"losses/td_loss": torch.tensor(float("nan"))})
    error = fails()
    ((title, text),) = sent
    assert title == "diverged" and text.endswith(error.removeprefix("error: "))


class Broken(gym.Env[np.ndarray, np.int64]):
    """Breaks its contract at the 40th step in the way that its id names."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, how: str) -> None:
        self.how, self.steps = how, 0

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict[str, object]]:
        return np.zeros(3, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
        self.steps += 1
        bad = self.steps == 40
        if bad and self.how == "Raises":
            raise ZeroDivisionError("inside the world")
        obs = np.full(3, np.nan if bad and self.how == "NanObservation" else 0.0, np.float32)
        return obs, float("nan") if bad and self.how == "NanReward" else 0.0, self.steps % 10 == 0, False, {}


for how in ("Raises", "NanReward", "NanObservation"):
    gym.register(f"{how}-v0", entry_point=Broken, kwargs={"how": how}, disable_env_checker=True)


@pytest.mark.parametrize(
    ("env", "said"),
    [("Raises-v0", "ZeroDivisionError: inside the world"), ("NanReward-v0", "reward"), ("NanObservation-v0", "finite")],
)
def test_a_broken_environment_is_named_with_the_step(fails: Fails, env: str, said: str) -> None:
    error = fails("--env", env, "--eval.every-env-steps", "0", resumable=True)  # once it is mended
    assert env in error and said in error and "step 4" in error


def test_a_world_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def absent() -> None:
        raise gym.error.DependencyNotInstalled("no such engine; pip install it")

    gym.register("NoEngine-v0", entry_point=absent)  # type: ignore[arg-type]
    try:
        with pytest.raises(SystemExit) as stopped:
            dqn.main([*TINY, "--env", "NoEngine-v0", "--runs-dir", str(tmp_path)])
    finally:
        del gym.registry["NoEngine-v0"]
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "NoEngine-v0" in line and "pip install it" in line


def test_a_checkpoint_interval_that_would_never_end_is_refused(fails: Fails) -> None:
    assert "checkpoint-every-env-steps" in fails("--checkpoint-every-env-steps", "0")
