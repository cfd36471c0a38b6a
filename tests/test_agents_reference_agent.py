"""The reference as an agent: its statistics in play, and a resumed replay memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import VecNormalize

from agents.reference.agent import Reference
from agents.reference.settings import Config, DQNSettings, PPOSettings, translate
from rl_gen_lab.runs.checkpoints import load_state, save_state
from rl_gen_lab.runs.fitting import refuse_misfit


def small(algo: str = "dqn", **changes: Any) -> Config:
    """A configuration that is quick to build and to train."""
    tables = {
        "dqn": DQNSettings(buffer_size=200, learning_starts=8, batch_size=8, target_update_interval=10_000),
        "ppo": PPOSettings(n_steps=16, batch_size=8, n_epochs=2),
    }
    return Config(algo=algo, **{"env": "CartPole", **tables, **changes})  # type: ignore[arg-type]


def test_players_standardise_as_training_does() -> None:
    reference = Reference(small("a2c", env="Pendulum", normalize=True), torch.device("cpu"))
    reference.model.learn(50)
    assert isinstance(reference.normalizer, VecNormalize)
    reference.network.take_statistics()
    obs = np.array([[0.3, -0.9, 5.0], [1.0, 0.0, -7.5]], dtype=np.float32)
    np.testing.assert_allclose(reference.network.standardized(obs), reference.normalizer.normalize_obs(obs))
    assert not np.allclose(reference.network.standardized(obs), obs)
    copy = Reference(small("a2c", env="Pendulum", normalize=True, seed=2), torch.device("cpu"))
    assert not np.allclose(copy.network.policy().act(obs), reference.network.policy().act(obs))
    copy.load_state_dict(reference.state_dict())
    np.testing.assert_array_equal(copy.network.policy().act(obs), reference.network.policy().act(obs))


def test_statistics_of_returns_fit_those_of_a_fresh_agent_also_where_an_earlier_version_saved_numbers(
    tmp_path: Path,
) -> None:
    """After an update Stable-Baselines3 has numbers where it begins with arrays without dimensions."""
    trained, fresh = (Reference(small("a2c", env="Pendulum", normalize=True), torch.device("cpu")) for _ in range(2))
    trained.model.learn(50)
    save_state(tmp_path / "state", trained.state_dict())
    saved = load_state(tmp_path / "state")
    refuse_misfit(saved, fresh.state_dict())
    for table in saved["statistics"].values():
        table |= {key: float(value) for key, value in table.items() if np.ndim(value) == 0}
    refuse_misfit(saved, fresh.state_dict())
    fresh.load_state_dict(saved)
    assert fresh.normalizer is not None and trained.normalizer is not None
    assert float(fresh.normalizer.ret_rms.mean) == float(trained.normalizer.ret_rms.mean) != 0


@pytest.mark.parametrize(("name", "value"), [("num_timesteps", -5), ("num_timesteps", 2**63), ("n_updates", -3)])
def test_counters_that_count_nothing_are_refused(name: str, value: int) -> None:
    reference = Reference(small(), torch.device("cpu"))
    with pytest.raises(ValueError, match=f"'{name}' must be a whole number"):
        reference.load_state_dict(reference.state_dict() | {name: value})


def test_a_resumed_dqn_fills_its_new_replay_memory_before_it_learns() -> None:
    first = Reference(small(), torch.device("cpu"))
    first.model.learn(20)
    second = Reference(small(seed=2), torch.device("cpu"))
    second.load_state_dict(first.state_dict())
    assert isinstance(second.model, DQN)
    assert (second.model.num_timesteps, second.model.learning_starts) == (20, 28)
    assert second.updates == first.updates > 0


def test_what_the_reference_logs_is_translated_after_updates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 steps of 2 environments in rollouts of 16: before the first update, and after each of the two."""
    translated, recorded = [], []

    def watch(algo: Any, logged: Any) -> Any:
        translated.append(dict(logged))
        return translate(algo, logged)

    run: Any = SimpleNamespace(
        record=lambda *row: recorded.append(row), checkpoint_due=lambda: False, running=lambda: len(recorded) < 32
    )
    monkeypatch.setattr("agents.reference.agent.translate", watch)
    reference = Reference(small("ppo", num_envs=2, total_env_steps=64), torch.device("cpu"))
    reference.learn(run)
    assert len(translated) == 3 and translated[0] == {}
    assert [row[0] for row in recorded] == [*range(2, 65, 2), 64]
    assert [row[1] for row in recorded] == [0] * 16 + [8] * 16 + [16]
    assert recorded[16][3]["losses/value_loss"] == translated[1]["train/value_loss"]
    assert recorded[-1][3]["losses/value_loss"] == translated[2]["train/value_loss"]
    reference.close()
