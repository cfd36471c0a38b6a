"""The door to the run machinery, which is imported after the flags are read, so that --help answers at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from agents.training.cli import command, parse
from agents.training.config import AgentConfig
from agents.training.resume import module_of, nothing_left
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.follower import silent
from rl_gen_lab.distributed.ranks import Ranks

if TYPE_CHECKING:
    from agents.rl.interfaces import TrainingRun

ConfigT = TypeVar("ConfigT", bound=AgentConfig)


@command
def launch(
    algo: str,
    config_class: type[ConfigT],
    train: Callable[[ConfigT, TrainingRun], None],
    argv: list[str] | None,
    *,
    exp_name: Callable[[ConfigT], str] | None = None,
    makes_environments: bool = False,
) -> None:
    """Read the flags, open or resume the run, and train.

    algo: name of the algorithm, of its presets and its run folders; exp_name: gives the latter two from the settings
    where one command has several algorithms. train: the agent's loop, called with the settings and the run, a
    `TrainingRun`. makes_environments: the algorithm makes its own (Stable-Baselines3).
    """
    ranks = Ranks.of()
    with silent(ranks):
        config = parse(config_class, algo, argv)
        if makes_environments and ranks.size > 1:
            raise ConfigError(f"python -m agents.{module_of(algo)} trains in one process: start it without torchrun")
        if not nothing_left(config):
            name = algo if exp_name is None else exp_name(config)
            from agents.training.start import start

            start(name, config, ranks, train, makes_environments=makes_environments)
