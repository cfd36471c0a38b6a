"""The variance lab as a command: what it writes, and which policies it takes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import odd_envs
import pytest
from gymnasium import spaces
from PIL import Image

from agents import ppo, reinforce, variance
from agents.analysis import gradient_quality
from agents.analysis.gradient_estimators import Estimator, Quality
from agents.analysis.gradient_quality import BASELINES, DISCOUNTS, LAMBDAS
from agents.training.cli import cli
from rl_gen_lab.cli.progress import ProgressDisplay

TINY = [
    "--episodes", "3", "--batches", "3", "--truth-batches", "3", "--value-batches", "2", "--value-updates", "10",
    "--warm-up-updates", "2", "--wandb.mode", "disabled",
]  # fmt: skip


class TheSame(gym.Env[np.ndarray, np.int64]):
    """An episode of one step, which earns 1 whatever is done."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.ones(2, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(2, np.float32), 1.0, True, False, {}


gym.register("TheSame-v0", entry_point=lambda **_: TheSame(), max_episode_steps=5)


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_table_and_a_plot_are_written_for_every_estimator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variance.main([*TINY, "--out", str(tmp_path)])
    folder = only(tmp_path)
    assert folder.name.startswith("variance__CartPole__")
    with (folder / "variance.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(DISCOUNTS) * (len(BASELINES) + len(LAMBDAS))
    for row in rows:
        assert float(row["variance"]) > 0 and float(row["bias"]) >= 0 and -1 <= float(row["cosine"]) <= 1
    # With lambda 1 the trace is the learned baseline.
    of = {(row["baseline"], row["discount"], row["lambda"]): row["variance"] for row in rows}
    assert float(of["gae", "0.99", "1"]) == pytest.approx(float(of["learned", "0.99", ""]), rel=1e-3)
    with Image.open(folder / "variance.png") as picture:
        assert picture.size[0] > 1_000
    said = capsys.readouterr().out
    assert "leave-one-out" in said and "the true gradient is known to within" in said


@pytest.mark.parametrize("flag", ["--world.episodic-life", "--world.episodic-points"])
def test_parts_of_an_episode_are_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "whole episodes" in refusal(capsys, flag)


def qualities(*flags: str) -> list[Quality]:
    config = cli(variance.Config, [*TINY, *flags])
    with ProgressDisplay("variance", 1, "batches") as display:
        return gradient_quality.measure(config, display)


def refusal(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        variance.main([*TINY, *flags])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused_before_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(gradient_quality, "measure", lambda *_: pytest.fail("it was measured"))
    assert "could not save" in refusal(capsys, "--out", str(tmp_path / "file" / "folder"))


def test_a_world_where_every_action_earns_the_same_has_no_gradient_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        gradient_quality, "REFERENCE", Estimator("leave-one-out")
    )  # a fitted value is off by a last digit
    said = refusal(capsys, "--out", str(tmp_path), "--env", "TheSame-v0")
    assert "gradient" in said and "zero" in said


def test_the_same_seed_measures_the_same_and_another_another() -> None:
    assert qualities() == qualities() != qualities("--seed", "2")


@pytest.mark.slow
def test_a_run_of_another_size_of_picture_is_refused_by_naming_the_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--env", "Pong", "--world.image-size", "36", "--world.max-episode-frames", "60"]
    ppo.main(
        [*small, "--preset", "defaults", "--total-env-steps", "20", "--num-envs", "2", "--rollout-steps", "10",
         "--no-film", "--wandb.mode", "disabled", "--eval.every-env-steps", "0", "--eval.final-episodes", "1",
         "--runs-dir", str(tmp_path / "runs")]
    )  # fmt: skip
    flags = ["--env", "Pong", "--world.max-episode-frames", "60", "--run", str(only(tmp_path / "runs"))]
    assert "conv.0.mean" in refusal(capsys, "--out", str(tmp_path / "out"), *flags)


@pytest.mark.slow
def test_the_policy_of_a_run_is_measured_and_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reinforce.main(
        ["--preset", "defaults", "--env", "CartPole", "--total-env-steps", "100", "--num-envs", "2", "--no-film",
         "--wandb.mode", "disabled", "--eval.every-env-steps", "0", "--eval.final-episodes", "1", "--normalize-obs",
         "--runs-dir", str(tmp_path / "runs")]
    )  # fmt: skip
    run = only(tmp_path / "runs")
    assert qualities("--run", str(run)) != qualities()
    for flags, said in (
        (["--run", str(run), "--env", "Acrobot"], "--env CartPole-v1"),
        (["--run", str(tmp_path / "nowhere")], "no run folder"),
        (["--batches", "1"], "batches"),
        (["--warm-up-updates", "-1"], "--warm-up-updates"),
        (["--learning-rate", "nan"], "--learning-rate"),
    ):
        with pytest.raises(SystemExit) as stopped:
            variance.main([*TINY, *flags, "--out", str(tmp_path / "never")])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err


def test_an_environment_of_few_copies_is_refused_naming_the_flag_of_this_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with odd_envs.registered(licenses=2) as name, pytest.raises(SystemExit) as stopped:
        variance.main([*TINY, "--env", name, "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip().endswith("2 copies could be (--episodes 2)")
