"""Settings of the reference: presets, what is refused, and our names for its metrics."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from agents import sb3
from agents.reference.settings import (
    Config,
    DQNSettings,
    PPOSettings,
    refuse_impossible,
    refuse_other_tables,
    translate,
)
from agents.training.cli import PRESETS
from rl_gen_lab.cli import presets
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.runs.folder import RunFolder


def test_an_activation_that_nothing_would_use_is_refused() -> None:
    vector, choice = spaces.Box(-1.0, 1.0, (4,), np.float32), spaces.Discrete(2)
    frames = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    with pytest.raises(ConfigError, match="activation is for"):
        refuse_impossible(Config(algo="ppo", activation="relu"), frames, choice)
    with pytest.raises(ConfigError, match="activation is for"):
        refuse_impossible(Config(algo="ppo", activation="relu", backbone="mlp"), vector, choice)
    refuse_impossible(Config(algo="ppo", activation="relu"), vector, choice)


def test_pictures_too_small_for_sb3s_own_network_are_refused() -> None:
    cells, choice = spaces.Box(0, 255, (16, 10, 10), np.uint8), spaces.Discrete(2)
    with pytest.raises(ConfigError, match=r"36x36 on; CartPole has \(16, 10, 10\): add --backbone auto"):
        refuse_impossible(Config(env="CartPole", algo="ppo"), cells, choice)
    refuse_impossible(Config(algo="ppo", backbone="auto"), cells, choice)
    refuse_impossible(Config(algo="ppo"), spaces.Box(0, 255, (4, 36, 36), np.uint8), choice)


def run(tmp_path: Path, *flags: str) -> RunFolder:
    limits = ["--eval.episodes", "2", "--eval.final-episodes", "2", "--eval.every-env-steps", "40"]
    where = ["--runs-dir", str(tmp_path), "--wandb.mode", "offline", "--no-film", "--log-every-env-steps", "20"]
    sb3.main([*flags, *limits, *where])
    (path,) = tmp_path.iterdir()
    return RunFolder.open(path)


FILES = sorted(PRESETS.glob("sb3_*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_presets_load_and_are_of_the_algorithm_in_their_name(file: Path) -> None:
    _, algo, name = file.stem.split("_")
    config = presets.load(Config, ["--preset", name], agent=f"sb3_{algo}", presets_dir=PRESETS)
    assert config.algo == algo
    tables = set(tomllib.loads(file.read_text())) & {"dqn", "a2c", "ppo"}
    assert tables == {algo}
    assert "Zoo" in file.read_text().splitlines()[0]
    if config.algo == "ppo":  # SB3 warns of a last batch that is cut short
        assert config.ppo.n_steps * config.num_envs % config.ppo.batch_size == 0


def test_there_are_presets_for_the_tasks_of_the_zoo() -> None:
    found = {file.stem for file in FILES}
    tasks = {"atari", "cartpole", "lunarlander", "acrobot", "mountaincar"}
    wanted = {f"sb3_{algo}_{task}" for algo in ("dqn", "a2c", "ppo") for task in tasks}
    assert wanted | {"sb3_a2c_pendulum", "sb3_ppo_pendulum"} <= found


def test_sb3s_metrics_get_our_names() -> None:
    logged = {"train/loss": 2.0, "train/entropy_loss": -1.5, "train/value_loss": 3.0, "time/fps": 9}
    assert translate("dqn", {"train/loss": 2.0, "rollout/exploration_rate": 0.5}) == (
        {"losses/td_loss": 2.0},
        {"charts/epsilon": 0.5},
    )
    assert translate("ppo", logged) == ({"losses/value_loss": 3.0}, {"losses/entropy": 1.5})
    undefined = {"train/explained_variance": float("nan"), "train/value_loss": float("nan")}
    losses, rest = translate("a2c", undefined)
    assert np.isnan(losses["losses/value_loss"]) and rest == {}  # a loss is handed on: it must stop the run


def test_flags_of_another_algorithm_are_refused() -> None:
    for algo, flag in (("a2c", "--dqn.batch-size"), ("dqn", "--ppo.n_steps=3"), ("ppo", "--a2c.no-ortho-init")):
        refuse_other_tables(flag.removeprefix("--")[:3], [flag, "3"])
        with pytest.raises(ConfigError, match=rf"is a setting of {flag[2:5]}, but the algorithm is {algo}"):
            refuse_other_tables(algo, ["--env", "CartPole", flag, "3"])
    refuse_other_tables("a2c", ["--env", "dqn.Game-v0", "--a2c.gamma", "0.9"])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_envs must be from 1"):
        Config(num_envs=0)
    with pytest.raises(ConfigError, match=r"dqn\.buffer_size 100 must hold dqn\.batch_size 101"):
        Config(dqn=DQNSettings(buffer_size=100, batch_size=101))
    with pytest.raises(ConfigError, match="at least 2 transitions"):
        Config(algo="ppo", ppo=PPOSettings(n_steps=1))
    assert json.dumps(to_dict(Config()))
