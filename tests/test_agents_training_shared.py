"""The share of each process in the settings of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents import dqn, ppo
from agents.rl.replay import ReplayConfig
from agents.training.shared import share_of_process
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.ranks import Ranks

TWO = Ranks(rank=1, size=2)


def test_alone_nothing_changes() -> None:
    config = dqn.Config()
    assert share_of_process(config, Ranks()) is config


def test_environments_minibatches_and_schedules_are_dealt_equally() -> None:
    config = dqn.Config(num_envs=8, batch_size=32, replay=ReplayConfig(capacity=10_000), learn_every_env_steps=4)
    own = share_of_process(config, TWO)
    assert (own.num_envs, own.batch_size, own.replay.capacity) == (4, 16, 5_000)
    assert own.learn_every_env_steps == 2  # with half of the steps each, the same number of updates
    assert own.total_env_steps == config.total_env_steps / 2 and own.epsilon_env_steps == config.epsilon_env_steps / 2
    assert own.target_update_every_updates == config.target_update_every_updates and own.gamma == config.gamma
    assert own.eval == config.eval and own.run == config.run  # these count the steps of all


def test_steps_that_do_not_divide_are_rounded_up() -> None:
    assert share_of_process(ppo.Config(total_env_steps=1_001), TWO).total_env_steps == 501


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_envs": 7}, r"--num-envs 7 cannot be dealt equally to 2 processes: use 6 or 8"),
        ({"batch_size": 33}, r"--batch-size 33 .* use 32 or 34"),
        ({"replay": ReplayConfig(capacity=99_999)}, r"--replay.capacity 99999"),
    ],
)
def test_what_cannot_be_dealt_is_refused_by_name(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        share_of_process(replace(dqn.Config(), **changes), TWO)  # type: ignore[arg-type]
