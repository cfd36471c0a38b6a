"""A training run without a folder: enough for an agent's `train(config, run)`, and for its parts one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from gymnasium import Space

from agents.rl.interfaces import Episode, Policy, Stateful, Step
from agents.training.env_runner import VectorEnvRunner
from envs.names import resolve
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.distributed.group import Group


class NoEnvironments:
    """Spaces and a first observation, for agents that are fed by hand."""

    def __init__(self, num_envs: int, observation_space: Space[Any], action_space: Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.obs = np.zeros((num_envs, *(observation_space.shape or ())), observation_space.dtype)
        self.first = np.ones(num_envs, dtype=bool)


class FakeRun:
    """A `TrainingRun` that lasts until `stop(run)` and keeps what it was told last.

    learnings: how often the agent has learned, from a batch or a whole rollout, as told by its metrics.
    """

    def __init__(
        self,
        config: Any,
        stop: Callable[[FakeRun], bool] = lambda run: False,
        env_runner: Any = None,
        device: torch.device = torch.device("cpu"),
    ) -> None:
        self.config, self.stop, self.device = config, stop, device
        self.generators = Generators(config.seed)
        self.env_runner: Any = env_runner or VectorEnvRunner(
            resolve(config.env), config.num_envs, config.world, self.generators
        )
        self.free_bytes = sys.maxsize
        self.group = Group()
        self.env_steps = self.updates = self.learnings = 0
        self.episodes: list[Episode] = []
        self.learned: Mapping[str, Any] = {}
        torch.manual_seed(self.generators.integer("init"))

    def prepare(self, network: torch.nn.Module) -> None:
        network.to(self.device)

    def begin(
        self, agent: Stateful, network: torch.nn.Module, policy: Policy | None = None, name: str = "agent"
    ) -> None:
        self.agent, self.network = agent, network

    def running(self) -> bool:
        return not self.stop(self)

    def record(
        self,
        env_steps: int,
        updates: int,
        episodes: list[Episode],
        learned: Mapping[str, Any],
        status: Mapping[str, float],
    ) -> None:
        self.learnings += learned is not self.learned and bool(learned)
        self.env_steps, self.updates, self.learned = env_steps, updates, learned
        self.episodes += episodes

    def checkpoint_due(self) -> bool:
        return False

    def save(self) -> None:
        raise AssertionError("no checkpoint is ever due")


def train(config: Any, *, env_steps: float = float("inf"), learnings: float = float("inf")) -> FakeRun:
    """Train an agent by its own loop, for so many steps or until it has learned so often."""
    run = FakeRun(config, lambda run: run.env_steps >= env_steps or run.learnings >= learnings)
    import_module(type(config).__module__).train(config, run)
    run.env_runner.close()
    return run


def make_agent(config: Any) -> tuple[Any, VectorEnvRunner]:
    """The agent of a run by its own `make_agent`, and its environments."""
    run = FakeRun(config)
    return import_module(type(config).__module__).make_agent(config, run), run.env_runner


def actor_of(agent: Any) -> Any:
    """What acts and observes: the agent itself, or the actor that it holds."""
    return getattr(agent, "actor", agent)


def step(agent: Any, runner: VectorEnvRunner) -> Step:
    """Let the agent act once and observe what follows."""
    actor = actor_of(agent)
    actions = actor.act(runner.obs, runner.first) if actor is not agent else actor.act(runner.obs)
    happened, _ = runner.step(actions)
    actor.observe(happened)
    return happened


def learn(agent: Any, runner: VectorEnvRunner, updates: int = 1) -> None:
    """Collect whole rollouts, or whole episodes, and learn from each, so many times."""
    buffer = actor_of(agent).buffer
    for _ in range(updates):
        while not buffer.full:
            step(agent, runner)
        agent.learn()
        if actor_of(agent) is agent:
            runner.restart()


def network_of(agent: Any) -> Any:
    """The network by which the agent is evaluated."""
    return actor_of(agent).network
