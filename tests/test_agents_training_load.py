"""Loading a trained agent from its run folder: what cannot be played is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.training.config import EvalConfig
from agents.training.load import evaluation_of, load_policy, newest_run, world_of
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.checkpoints import load_weights, save_weights
from rl_gen_lab.runs.folder import RunFolder

RECORDED = Path(__file__).resolve().parent / "recorded"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    (path,) = RECORDED.glob("ppo__*")
    shutil.copytree(path, tmp_path / "run")
    return RunFolder.open(tmp_path / "run")


def change(run: RunFolder, **facts: Any) -> None:
    run.config_file.write_text(json.dumps(json.loads(run.config_file.read_text()) | facts))


def test_best_and_last_are_read_from_their_own_files(run: RunFolder) -> None:
    tensors, metadata = load_weights(run.checkpoints / "last.safetensors")
    save_weights(run.checkpoints / "last.safetensors", tensors | {"head.out.bias": torch.tensor([9.0, 0.0])}, metadata)
    obs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    first = np.ones(64, dtype=bool)
    best, last = (load_policy(run, which).choose(obs, first)[1] for which in ("best", "last"))  # type: ignore[arg-type]
    assert best is not None and last is not None
    assert (last[:, 0] > 0.99).all() and (best[:, 0] < 0.99).all()


def test_a_run_of_something_else_is_refused(run: RunFolder) -> None:
    change(run, exp_name="segment_unet")
    with pytest.raises(CheckpointError, match="a run of 'segment_unet', which cannot be played; known: dqn"):
        load_policy(run, "best")


def test_a_run_without_its_best_agent_says_what_to_do(run: RunFolder) -> None:
    (run.checkpoints / "best.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no best agent yet: --which last, resume it"):
        load_policy(run, "best")


def test_a_setting_of_learning_that_is_not_known_any_more_does_not_keep_an_agent_from_playing(run: RunFolder) -> None:
    config = run.read_config()["config"]
    change(run, config=config | {"gone": 1})
    actions, _ = load_policy(run, "last").choose(np.zeros((1, 4), np.float32), np.ones(1, dtype=bool))
    assert actions.shape == (1,)


def test_environment_and_exploration_of_a_run_of_another_version_are_read(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    config = run.read_config()["config"]
    change(run, config=config | {"world": config["world"] | {"fog": 1}, "eval": {"epsilon": 0.25, "judge": "me"}})
    load_policy(run, "best")
    assert evaluation_of(run).epsilon == 0.25 and world_of(run).frame_stack == config["world"]["frame_stack"]
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.endswith("no such settings: world.fog, eval.judge\n")
    change(run, config={key: value for key, value in config.items() if key not in ("world", "eval")})
    assert evaluation_of(run) == EvalConfig() and world_of(run) == EnvConfig()


def test_weights_of_another_network_are_refused_by_layer(run: RunFolder) -> None:
    config = run.read_config()["config"]
    change(run, config=config | {"lstm_units": 0})
    with pytest.raises(CheckpointError, match=r"do not fit this network: .*core"):
        load_policy(run, "best")


@pytest.mark.parametrize("facts", [{"exp_name": "actor_critic"}, {"env_id": "Acrobot-v1"}])
def test_weights_of_another_agent_or_game_are_refused_though_they_would_fit(
    run: RunFolder, facts: dict[str, str]
) -> None:
    change(run, **facts)
    with pytest.raises(CheckpointError, match=r"best.safetensors is of ppo on CartPole-v1, not of "):
        load_policy(run, "best")


def test_actions_are_drawn_if_asked_or_if_the_run_is_evaluated_so(run: RunFolder) -> None:
    assert load_policy(run, "best").sample is None
    assert load_policy(run, "best", stochastic=True).sample is not None
    config = run.read_config()["config"]
    change(run, config=config | {"eval": config["eval"] | {"stochastic": True}})
    assert load_policy(run, "best").sample is not None
    assert load_policy(run, "best", stochastic=False).sample is None


def test_the_newest_run_is_that_of_an_agent_whose_weights_were_written_last(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no run folder in .*holds a trained agent \(best\.safetensors\)"):
        newest_run(tmp_path, "best")
    for age, algo in enumerate(["ppo", "sb3_dqn", "dqn", "detect_ssd", None]):
        made = RunFolder.create(tmp_path, algo or "torn", "CartPole", age)
        if algo is not None:
            made.write_config({"exp_name": algo})
        file = made.checkpoints / ("last.safetensors" if algo == "dqn" else "best.safetensors")
        file.touch()
        os.utime(file, (1_000 + age, 1_000 + age))
    # Newer are one with another file, one of no agent, one without settings.
    assert newest_run(tmp_path, "best").read_config() == {"exp_name": "sb3_dqn"}
    assert newest_run(tmp_path, "last").read_config() == {"exp_name": "dqn"}
