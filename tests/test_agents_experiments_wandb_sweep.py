"""A sweep in W&B's words: its command is one that the agent reads, with the flags that W&B's agents add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from sweep_command import write_sweep

from agents.experiments import wandb_sweep
from agents.experiments.sweep_plan import Sweep, read_settings, read_sweep
from agents.experiments.wandb_sweep import launch, wandb_config
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import WandbConfig

pytestmark = pytest.mark.timeout(60)
COMMAND = "python -m agents.dqn --env Acrobot --total-env-steps 400 --no-film"
SEARCH = """learning_rate = { low = 1e-4, high = 1e-2, log = true }
gamma = { low = 0.9, high = 1.0 }
n_step = { low = 1, high = 9 }
batch_size = { low = 32, high = 128, step = 32 }
double = { choices = [true, false] }
n_step_end = { choices = ["none", 1] }
"replay.capacity" = { choices = [10_000, 20_000] }"""


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return read_sweep(write_sweep(tmp_path, command=COMMAND, search=SEARCH))


def test_every_kind_of_dimension_has_its_words(sweep: Sweep) -> None:
    config = wandb_config(sweep)
    assert config["method"] == "bayes" and config["run_cap"] == 6
    assert config["metric"] == {"name": "final/return_mean", "goal": "maximize"}
    assert config["parameters"] == {
        "learning-rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "gamma": {"distribution": "uniform", "min": 0.9, "max": 1.0},
        "n-step": {"distribution": "int_uniform", "min": 1, "max": 9},
        "batch-size": {"distribution": "q_uniform", "min": 32, "max": 128, "q": 32},
        "double": {"values": ["True", "False"]},
        "n-step-end": {"values": ["None", 1]},
        "replay.capacity": {"values": [10_000, 20_000]},
    }


def test_the_command_with_the_flags_of_an_agent_is_read(sweep: Sweep) -> None:
    words = wandb_config(sweep)["command"]
    assert words[:3] == ["${env}", "${interpreter}", "-m"] and words[-1] == "${args}"
    assert words[3:-3] == sweep.plan.words and words[-3:-1] == ["--seed", "1"]
    flags = ["--learning-rate=0.002", "--double=False", "--n-step-end=None", "--n-step=3", "--replay.capacity=20000"]
    read: Any = read_settings(sweep.plan, flags)
    assert (read.learning_rate, read.double, read.n_step_end, read.replay.capacity) == (0.002, False, None, 20_000)


def test_offline_the_file_is_written_and_the_way_on_is_said(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch(sweep, tmp_path / "short", WandbConfig(mode="offline"))
    file = tmp_path / "short" / "wandb.yaml"
    assert yaml.safe_load(file.read_text()) == wandb_config(sweep)
    assert f"`wandb sweep {file}`, which needs an account" in capsys.readouterr().out


def test_online_the_sweep_is_made_and_its_agents_are_named(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    made: list[Any] = []
    monkeypatch.setattr(wandb_sweep, "choose_mode", lambda mode, stored: ("online", ""))
    monkeypatch.setattr(wandb, "sweep", lambda config, **names: made.append((config, names)) or "abc123")
    launch(sweep, tmp_path / "short", WandbConfig(entity="me", project="lab"))
    assert made == [(wandb_config(sweep), {"entity": "me", "project": "lab"})]
    assert "wandb agent me/lab/abc123" in capsys.readouterr().out

    def refuse(config: Any, **names: Any) -> str:
        raise RuntimeError("no\nnetwork")

    monkeypatch.setattr(wandb, "sweep", refuse)
    with pytest.raises(ConfigError, match=r"W&B did not make the sweep: no network; it is in .*wandb\.yaml"):
        launch(sweep, tmp_path / "short", WandbConfig(entity="me", project="lab"))


def test_what_wandb_has_no_words_for_is_refused(tmp_path: Path) -> None:
    lists = read_sweep(
        write_sweep(tmp_path, command="python -m agents.sb3 --algo dqn", search="net_arch = { choices = [[64], [32]] }")
    )
    with pytest.raises(ConfigError, match="cannot choose among lists, as for 'net_arch'"):
        launch(lists, tmp_path, WandbConfig())
    command = "python -m rl_gen_lab.train segment --data x"
    vision = read_sweep(write_sweep(tmp_path, command=command, search='"optimizer.learning_rate".choices = [0.1]'))
    with pytest.raises(ConfigError, match="vision models name their metric by their task"):
        launch(vision, tmp_path, WandbConfig())
