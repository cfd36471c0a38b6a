"""The preset of the best settings is read back as those settings, and leaves the limits of a run as they were."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from sweep_command import write_sweep

from agents.experiments import preset_file
from agents.experiments.preset_file import best_command, write_preset
from agents.experiments.sweep_plan import Sweep, read_sweep
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.values import from_dict, to_flat_dict

pytestmark = pytest.mark.timeout(60)
DQN = "python -m agents.dqn --env Acrobot --total-env-steps 500 --eval.every-env-steps 100 --no-film --no-double"
SEARCH = """
learning_rate = { low = 1e-4, high = 1e-2, log = true }
n_step_end = { choices = ["none", 1] }
backbone = { choices = ["mlp", "mlp_small"] }
[search.replay]
capacity = { low = 20000, high = 60000 }
"""
BEST = {"learning_rate": 0.001234, "n_step_end": 1, "backbone": "mlp", "replay.capacity": 54321}


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return read_sweep(write_sweep(tmp_path, command=DQN, search=SEARCH))


def test_a_preset_holds_the_agent_and_not_the_limits_of_the_sweep(tmp_path: Path, sweep: Sweep) -> None:
    file = tmp_path / "dqn_best.toml"
    write_preset(file, sweep, BEST, "Found by a sweep. " * 12)
    text = file.read_text()
    read = from_dict(type(sweep.start), tomllib.loads(text))
    flat, start = to_flat_dict(read), to_flat_dict(sweep.start)
    base = tomllib.loads((preset_file.PRESETS / "dqn_acrobot.toml").read_text())
    assert {name: flat[name] for name in BEST} == BEST and flat["double"] is False
    assert flat["total_env_steps"] == base["total_env_steps"] and start["total_env_steps"] == 500
    assert flat["eval.every_env_steps"] == base["eval"]["every_env_steps"] and flat["run.film"] is True
    others = [name for name in flat if name not in BEST and not name.startswith(("eval.", "run.", "wandb.", "device."))]
    same = [name for name in others if flat[name] == start[name]]
    assert set(others) - set(same) <= {"env", "seed", "total_env_steps"}
    assert "capacity = 54_321" in text and all(len(line) <= 120 for line in text.splitlines())
    assert "env =" not in text.replace("total_env", "").replace("_env", "") and "wandb" not in text


def test_the_best_command_is_one_that_the_agent_reads_as_those_settings(sweep: Sweep) -> None:
    assert best_command(sweep, BEST).endswith(
        "--no-double --learning-rate 0.001234 --n-step-end 1 --backbone mlp --replay.capacity 54321"
    )
    assert to_flat_dict(sweep.settings(BEST))["replay.capacity"] == 54321


def test_none_that_a_preset_cannot_say_is_said_in_its_head(tmp_path: Path) -> None:
    command = "python -m agents.ppo --env CartPole --total-env-steps 500"
    search = 'learning_rate_end = { choices = ["none", 1e-4] }'
    sweep = read_sweep(write_sweep(tmp_path, command=command, search=search))
    file = tmp_path / "ppo_best.toml"
    write_preset(file, sweep, {"learning_rate_end": None}, "Found.")
    assert "learning_rate_end" not in tomllib.loads(file.read_text())  # None is the default


def test_presets_lie_in_the_folder_of_the_others(sweep: Sweep) -> None:
    assert preset_file.preset_file(sweep, "tuned") == preset_file.PRESETS / "dqn_tuned.toml"


def test_a_preset_that_no_sweep_wrote_and_what_is_no_name_are_refused(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"configs/dqn_acrobot.toml is there and no sweep wrote it"):
        preset_file.preset_file(sweep, "acrobot")
    for name in ("../x", "a b", "", "-a"):
        with pytest.raises(ConfigError, match="cannot be the name of a preset"):
            preset_file.preset_file(sweep, name)
    monkeypatch.setattr(preset_file, "PRESETS", tmp_path)
    file = preset_file.preset_file(sweep, "mine")
    write_preset(file, sweep, BEST, f"{preset_file.FOUND_BY} x.toml.")
    assert preset_file.preset_file(sweep, "mine") == file  # its own is written anew
