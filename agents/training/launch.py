"""The door to the run machinery, which is imported after the flags are read, so that --help answers at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from agents.training.cli import command, parse
from agents.training.config import AgentConfig
from agents.training.resume import nothing_left

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
    config = parse(config_class, algo, argv)
    if nothing_left(config):
        return

    import torch

    from agents.training.env_runner import make_env_runner
    from agents.training.memory_check import check_memory
    from agents.training.metadata import RunSpec
    from agents.training.session import RecordedRun
    from rl_gen_lab.compute import devices
    from rl_gen_lab.compute.seeding import Generators

    spec = RunSpec.resolve(algo if exp_name is None else exp_name(config), config)
    with RecordedRun(spec) as run:
        run.device = devices.setup(config.device)
        check_memory(spec, run.device)
        run.generators = Generators(config.seed)
        if not makes_environments:
            run.env_runner = make_env_runner(spec.env_id, config.num_envs, config.world, run.generators)
        torch.manual_seed(run.generators.integer("init"))
        train(config, run)
        run.end()
