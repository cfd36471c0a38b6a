"""The door to the run machinery, which is imported after the flags are read, so that --help answers at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from agents.training.cli import command, parse
from agents.training.config import AgentConfig
from agents.training.resume import nothing_left

if TYPE_CHECKING:
    from agents.rl.interfaces import TrainingRun

MANY_ENVS = 64  # Atari games are made at about 12 a second, before anything else is said
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

    from agents.training.env_runner import VectorEnvRunner
    from agents.training.memory_check import check_memory
    from agents.training.metadata import RunSpec
    from agents.training.session import RecordedRun
    from rl_gen_lab.compute import devices
    from rl_gen_lab.compute.seeding import Generators
    from rl_gen_lab.runs.interrupt import ended_by_signals

    spec = RunSpec.resolve(algo if exp_name is None else exp_name(config), config)
    with RecordedRun(spec) as run:
        run.device = devices.setup(config.device)
        check_memory(spec, run.device)
        run.generators = Generators(config.seed)
        many = config.num_envs >= MANY_ENVS
        if many:
            run.display.say(f"making {config.num_envs:,} copies of {spec.env_id}")
        if not makes_environments:
            with ended_by_signals() if many else nullcontext():
                run.env_runner = VectorEnvRunner(spec.env_id, config.num_envs, config.world, run.generators)
        torch.manual_seed(run.generators.integer("init"))
        train(config, run)
        run.end()
