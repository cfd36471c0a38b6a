"""Stable-Baselines3 as the reference: its DQN, A2C and PPO on the same environments, with the same record.

    python -m agents.sb3 --algo dqn --env Pong

The algorithms run as published. Around them, only this differs from SB3's own scripts:
1. The environments are `envs.factory.make_vec` behind `LearnerVecEnv`. Learning sees clipped rewards, lost lives and
   points as our agents do; every reported return is of the whole game, unclipped.
2. Agents are evaluated by `agents.training.evaluate`, greedily unless `eval.stochastic` (the zoo samples A2C's and
   PPO's actions on Atari).
3. A run ends with the rollout in which its steps are spent, as in SB3, and at once when its minutes are.
4. `--resume` is not exact, since SB3 saves no generator: it continues with networks, optimizer, counters and
   running statistics in new games; DQN first fills a new replay memory by `learning_starts` random steps.

Source: Raffin et al. 2021, "Stable-Baselines3: reliable reinforcement learning implementations", JMLR 22.
Settings: RL Baselines3 Zoo, see configs/sb3_*.toml.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gymnasium import Space

from agents.reference.settings import Config, refuse_other_tables
from agents.rl.interfaces import Policy, TrainingRun
from agents.training.cli import command
from agents.training.launch import launch
from rl_gen_lab.cli.flags import peek_flag
from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from agents.reference.models import SB3Policy


def make_network(config: Config, observation_space: Space[Any], action_space: Space[Any]) -> SB3Policy:
    """Make the network of a trained agent, on the CPU, with as little of SB3's learning machinery as possible."""
    from agents.reference.agent import Reference

    small = replace(
        config,
        num_envs=1,
        dqn=replace(config.dqn, buffer_size=1, batch_size=1),
        ppo=replace(config.ppo, n_steps=config.ppo.batch_size),
    )
    reference = Reference(small, torch.device("cpu"))
    reference.close()
    return reference.network


def make_policy(network: SB3Policy, stochastic: bool) -> Policy:
    """Return the policy of a trained agent, greedy or drawing its actions. Raises: ConfigError where it has none."""
    return network.policy(stochastic)


def train(config: Config, run: TrainingRun) -> None:
    """Let SB3 train until the run is over."""
    from agents.reference.agent import Reference  # here, so that --help needs neither torch nor SB3
    from agents.training.environments import making_copies

    with making_copies(config.env, config.num_envs):
        reference = Reference(config, run.device)
    run.begin(reference, reference.network, reference.network.policy(config.eval.stochastic), name="reference")
    reference.learn(run)
    reference.close()


@command
def main(argv: list[str] | None = None) -> None:
    """Train an algorithm of Stable-Baselines3."""
    algo = peek_flag(argv, "algo") or Config.algo
    refuse_other_tables(algo, sys.argv[1:] if argv is None else argv)
    launch(f"sb3_{algo}", Config, train, argv, exp_name=lambda config: f"sb3_{config.algo}", makes_environments=True)


if __name__ == "__main__":
    main()
