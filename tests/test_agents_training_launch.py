"""The door: flags are read before anything is opened, the algorithm gets what it needs, and errors are one line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import ppo
from agents.rl.interfaces import TrainingRun
from agents.training.cli import parse
from agents.training.launch import launch
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError

SHORT = ["--env", "CartPole", "--preset", "defaults", "--num-envs", "2", "--no-film", "--wandb.mode", "disabled"]


def test_a_wrong_flag_ends_in_one_line_before_there_is_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        launch("ppo", ppo.Config, pytest.fail, [*SHORT, "--cliip", "1", "--runs-dir", str(tmp_path)])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_name_without_a_flag_is_taken_for_the_environment() -> None:
    with pytest.raises(ConfigError, match="'CartPole' stands without a flag: did you mean --env CartPole"):
        parse(ppo.Config, "ppo", ["CartPole", "--seed", "2"])


@pytest.mark.parametrize("flag", ["--world.frame-stack 4", "--world.image_size=84", "--world.no-grayscale"])
def test_settings_of_pictures_are_refused_where_there_are_none(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SHORT, *flag.split(), "--runs-dir", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        launch("ppo", ppo.Config, pytest.fail, words)
    assert stopped.value.code == 2 and not list(tmp_path.iterdir())
    name = flag.replace("=", " ").split()[0]
    assert capsys.readouterr().err == f"error: {name} is for pictures; CartPole-v1 shows a vector of 4 numbers\n"
    pictures = parse(ppo.Config, "ppo", [*words, "--env", "envs.probes.pictures:Pictures/Quarter-v0"])
    assert pictures.world == EnvConfig(grayscale="no-gray" not in flag)
    assert parse(ppo.Config, "ppo", [*words, "--observe", "objects"]).world.observe == "objects"


def test_the_algorithm_gets_environments_generators_a_device_and_torch_seeded_by_the_run(tmp_path: Path) -> None:
    draws: list[float] = []
    observed: list[np.ndarray] = []

    def train(config: ppo.Config, run: TrainingRun) -> None:
        assert run.env_runner.obs.shape == (2, 4) and run.device == torch.device("cpu")
        draws.append(float(torch.rand(())))
        observed.append(run.env_runner.obs.copy())
        raise ConfigError("enough")

    for seed in ("1", "1", "2"):
        with pytest.raises(SystemExit):
            launch("ppo", ppo.Config, train, [*SHORT, "--seed", seed, "--runs-dir", str(tmp_path)])
    assert draws[0] == draws[1] != draws[2]
    np.testing.assert_array_equal(observed[0], observed[1])
    assert not np.array_equal(observed[0], observed[2])
    assert not list(tmp_path.iterdir()), "a run that never started leaves no folder"


def test_many_copies_are_announced_and_ctrl_c_before_the_first_step_leaves_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(config: ppo.Config, run: TrainingRun) -> None:
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it goes on")

    with pytest.raises(SystemExit) as stopped:
        launch("ppo", ppo.Config, train, [*SHORT, "--num-envs", "64", "--runs-dir", str(tmp_path)])
    said = capsys.readouterr()
    assert "making 64 copies of CartPole-v1" in said.out and said.err == "stopped\n"
    assert stopped.value.code == 130 and not list(tmp_path.iterdir())


def test_a_command_of_several_algorithms_names_its_runs_by_the_settings(tmp_path: Path) -> None:
    names: list[str] = []

    def train(config: ppo.Config, run: Any) -> None:
        names.append(run.spec.algo)
        with pytest.raises(AssertionError):
            _ = run.env_runner
        raise ConfigError("enough")

    with pytest.raises(SystemExit):
        launch(
            "ppo",
            ppo.Config,
            train,
            [*SHORT, "--runs-dir", str(tmp_path)],
            exp_name=lambda config: f"own_{config.num_envs}",
            makes_environments=True,
        )
    assert names == ["own_2"]
