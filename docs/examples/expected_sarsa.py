"""Expected Sarsa with a target network: an example of an algorithm that is added to the lab.

Source: Sutton & Barto 2018, "Reinforcement learning", eq. 6.9.

    python -m docs.examples.expected_sarsa --env CartPole

Every step of N parallel environments gives one update from its N transitions; there is no replay memory (Mnih et al.
2016, "Asynchronous methods for deep reinforcement learning", section 4, with synchronous environments).

Deviations from Sutton & Barto (those that can be switched are fields of `Config`):
1. The next observation is valued by a target network, copied every `target_update_every_updates`.
2. Adam and the Huber loss, averaged over the environments.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space, spaces

from agents.rl import ops
from agents.rl.exploration import epsilon_greedy
from agents.rl.interfaces import Generators, Step, TrainingRun
from agents.rl.optimizers import parameter_groups
from agents.training.config import Copies, LearnerConfig
from agents.training.launch import launch
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import OptionalSteps, Positive, Share, Steps

if TYPE_CHECKING:
    from torch import Tensor

    from agents.rl.q_networks import QNetwork


@dataclass(frozen=True)
class Config(LearnerConfig):
    """Settings of an Expected Sarsa run; env, seed, world, eval and others are shared by all agents."""

    # Agent steps to take, over all environments.
    total_env_steps: Steps = 200_000
    # Copies of the environment that step together: the transitions of an update.
    num_envs: Copies = 16
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Adam's learning rate.
    learning_rate: Positive = 3e-4
    # Updates between two changes of the target network.
    target_update_every_updates: Steps = 100
    # Probability of a random action at the start, ...
    epsilon_start: Share = 1.0
    # ... and from epsilon_env_steps on, linear in between.
    epsilon_end: Share = 0.05
    # Agent steps over which epsilon falls.
    epsilon_env_steps: OptionalSteps = 50_000
    # Network from observations to features: auto, nature, impala, small (pixels); mlp, mlp_small (vectors).
    backbone: str = "auto"


def expected_sarsa_loss(
    q_tm1: Tensor, action_tm1: Tensor, reward_t: Tensor, discount_t: Tensor, q_t: Tensor, epsilon: float, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Huber loss of the TD errors, averaged over the rows where mask is 1; with it the TD errors (B,).

    The target is reward + discount * sum_a pi(a | s) Q(s, a), where pi is epsilon-greedy. Source: Sutton & Barto 2018,
    eq. 6.9. q_tm1: (B, A) before the action; action_tm1: (B,) int64; reward_t, discount_t: (B,); q_t: (B, A) after it,
    of the target network; mask: (B,) float, 0 for rows that are no transition.
    """
    expected = (1.0 - epsilon) * q_t.max(1).values + epsilon * q_t.mean(1)
    td = ops.td_error(q_tm1, action_tm1, (reward_t + discount_t * expected).detach())
    return ops.masked_mean(ops.huber(td), mask), td.detach()


def make_network(config: Config, observation_space: Space[Any], action_space: Space[Any]) -> QNetwork:
    """Make the network by which the agent acts and is evaluated, on the CPU. Raises: ConfigError."""
    from agents.rl.q_networks import QNetwork  # here, so that --help needs no torch

    if not isinstance(action_space, spaces.Discrete):
        raise ConfigError(f"Expected Sarsa needs one finite set of actions; {config.env} has {action_space}")
    assert observation_space.shape is not None
    return QNetwork(config.backbone, observation_space.shape, int(action_space.n), dueling=False)


class ExpectedSarsa:
    """The agent: all its mutable state is made here and saved by `state_dict`."""

    def __init__(
        self, config: Config, network: QNetwork, optimizer: torch.optim.Optimizer, generators: Generators
    ) -> None:
        """network: on the device to compute on; optimizer: of its weights."""
        self.config, self.network, self.optimizer = config, network, optimizer
        self.device = next(network.parameters()).device
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.rng = generators.numpy("exploration")
        self.env_steps = self.updates = 0

    def epsilon(self) -> float:
        """Probability of a random action now."""
        c = self.config
        return ops.anneal(c.epsilon_start, c.epsilon_end, c.epsilon_env_steps, self.env_steps)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return epsilon-greedy actions (N,) int64 for observations (N, ...)."""
        with torch.no_grad():
            q = self.network(ops.to_tensor(obs, self.device)).cpu().numpy()
        return epsilon_greedy(q.argmax(1), np.full(len(obs), self.epsilon()), q.shape[1], self.rng)

    def learn(self, step: Step) -> dict[str, Tensor]:
        """Make one update from a step of all environments; return what to log, still on the device."""
        ends = step.terminated | step.value_ends  # truncation ends an episode, but no value
        obs, action, reward, next_obs = (
            ops.to_tensor(array, self.device) for array in (step.obs, step.action, step.reward, step.next_obs)
        )
        discount = ops.to_tensor(np.where(ends, 0.0, self.config.gamma).astype(np.float32), self.device)
        mask = ops.to_tensor((~step.dummy).astype(np.float32), self.device)
        with torch.no_grad():
            q_t = self.target(next_obs)
        q_tm1 = self.network(obs)
        loss, _ = expected_sarsa_loss(q_tm1, action, reward, discount, q_t, self.epsilon(), mask)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.env_steps, self.updates = self.env_steps + len(step.action), self.updates + 1
        if self.updates % self.config.target_update_every_updates == 0:
            ops.lerp_parameters(self.target, self.network, 1.0)
        return {"losses/td_loss": loss.detach(), "losses/q_values": q_tm1.detach().mean()}

    def state_dict(self) -> dict[str, Any]:
        """Return networks, optimizer and counters; the generators are saved by their owner."""
        modules = {name: getattr(self, name).state_dict() for name in ("network", "target", "optimizer")}
        return modules | {"env_steps": self.env_steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name in ("network", "target", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])


def make_agent(config: Config, run: TrainingRun) -> ExpectedSarsa:
    """Make the agent of a run with its network and optimizer."""
    network = make_network(config, run.env_runner.observation_space, run.env_runner.action_space)
    run.prepare(network)
    groups = parameter_groups(network, config.learning_rate, config.transfer.backbone_factor)
    return ExpectedSarsa(config, network, torch.optim.Adam(groups, lr=config.learning_rate), run.generators)


def train(config: Config, run: TrainingRun) -> None:
    """Act, learn from what happened, report."""
    env, agent = run.env_runner, make_agent(config, run)
    run.begin(agent, agent.network)
    while run.running():
        step, episodes = env.step(agent.act(env.obs))
        learned = agent.learn(step)
        run.record(agent.env_steps, agent.updates, episodes, learned, {"charts/epsilon": agent.epsilon()})
        if run.checkpoint_due():
            env.restart()
            run.save()


def main(argv: list[str] | None = None) -> None:
    """Train by Expected Sarsa."""
    launch("expected_sarsa", Config, train, argv)


if __name__ == "__main__":
    main()
