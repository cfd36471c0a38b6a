"""From settings to a training: processes, run folder, device, environments, the agent's own loop, the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeVar

import torch

from agents.rl.interfaces import EnvRunner, TrainingRun
from agents.training.changed_torch import refuse_changed_torch
from agents.training.config import AgentConfig, RolloutsConfig
from agents.training.env_runner import make_env_runner
from agents.training.memory_check import check_memory
from agents.training.metadata import RunSpec
from agents.training.processes import refuse_different
from agents.training.rollout_choice import refuse_impossible
from agents.training.session import RecordedRun
from agents.training.shared import share_of_process
from rl_gen_lab.compute import devices
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.distributed.group import joined
from rl_gen_lab.distributed.ranks import Ranks

ConfigT = TypeVar("ConfigT", bound=AgentConfig)


def environments_of(
    spec: RunSpec, own: AgentConfig, generators: Generators, rank: int, say: Callable[[str], None]
) -> EnvRunner:
    """Make the environments of a run, stepped here or played by actors. own: the settings of this process.

    Raises: ConfigError, UnusableEnvError, EnvStepError.
    """
    rollouts = getattr(own, "rollouts", RolloutsConfig())
    if rollouts == RolloutsConfig():
        return make_env_runner(spec.env_id, own.num_envs, spec.config.world, generators)
    from agents.training.rollouts import ActorRollouts  # here, for few runs need it

    return ActorRollouts(spec, rollouts, own.num_envs, rank, say)


def start(
    algo: str,
    config: ConfigT,
    ranks: Ranks,
    train: Callable[[ConfigT, TrainingRun], None],
    *,
    makes_environments: bool,
) -> None:
    """Open or resume the run and train; the arguments are those of `launch`. ranks: the place of this process."""
    rollouts = getattr(config, "rollouts", RolloutsConfig())
    refuse_impossible(rollouts, ranks)
    with ExitStack() as stack:
        if rollouts.backend == "gloo":  # the first process learns alone, and each other one is an actor
            group = stack.enter_context(joined(ranks, config.run.rank_timeout_seconds))
            refuse_different(group, config)
            if not ranks.leads:
                from agents.training.rollout_gloo_actor import act

                act(ranks.rank - 1, config.run.rank_timeout_seconds)
                return
            ranks = ranks.alone()
        learn(algo, config, ranks, train, makes_environments=makes_environments)


def learn(
    algo: str,
    config: ConfigT,
    ranks: Ranks,
    train: Callable[[ConfigT, TrainingRun], None],
    *,
    makes_environments: bool,
) -> None:
    """Train in this process, together with others where there are several; see `start`."""
    own = share_of_process(config, ranks)
    recorded = config if ranks.leads else replace(config, wandb=replace(config.wandb, mode="disabled"))
    spec = RunSpec.resolve(algo, recorded)
    cuda = torch.cuda.is_available() and config.device.device != "cpu"
    with joined(ranks, config.run.rank_timeout_seconds, cuda=cuda) as group, RecordedRun(spec, group) as run:
        run.device = devices.setup(config.device, ranks.local_rank)
        check_memory(spec, run.device)
        run.generators = Generators(config.seed, ranks.rank)
        if not makes_environments:
            run.env_runner = environments_of(spec, own, run.generators, ranks.rank, run.display.say)
            refuse_changed_torch(spec.env_id)
        torch.manual_seed(Generators(config.seed).integer("init"))  # the same weights in all processes
        train(own, run)
        run.end()
