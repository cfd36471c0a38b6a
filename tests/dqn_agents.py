"""Small DQN agents that are fed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fake_run import FakeRun, NoEnvironments
from gymnasium import spaces

from agents.dqn import DQN, Config, make_agent
from agents.rl.greedy_policy import GreedyValues
from agents.rl.interfaces import Step
from agents.rl.replay import ReplayConfig
from rl_gen_lab.cli.settings import DeviceConfig

VECTOR = spaces.Box(-1.0, 1.0, (4,), np.float32)
PIXELS = spaces.Box(0, 255, (4, 36, 36), np.uint8)
ACTIONS = spaces.Discrete(3)
SMALL = Config(
    num_envs=2,
    batch_size=8,
    learning_starts_env_steps=20,
    n_step=1,
    replay=ReplayConfig(capacity=400),
    device=DeviceConfig(device="cpu"),
)


def random_step(rng: np.random.Generator, num_envs: int, space: spaces.Box = VECTOR) -> Step:
    def observation() -> np.ndarray:
        if space.dtype == np.uint8:
            return rng.integers(0, 256, (num_envs, *space.shape), dtype=np.uint8)
        return rng.standard_normal((num_envs, *space.shape)).astype(np.float32)

    none = np.zeros(num_envs, dtype=bool)
    return Step(
        obs=observation(),
        action=rng.integers(3, size=num_envs),
        reward=rng.standard_normal(num_envs).astype(np.float32),
        terminated=rng.random(num_envs) < 0.1,
        truncated=none,
        value_ends=none,
        first=none,
        dummy=none,
        next_obs=observation(),
    )


def new_agent(config: Config, space: spaces.Space[Any] = VECTOR, actions: spaces.Space[Any] = ACTIONS) -> DQN:
    return make_agent(config, FakeRun(config, env_runner=NoEnvironments(config.num_envs, space, actions)))


def values(agent: DQN, obs: np.ndarray, network: torch.nn.Module | None = None) -> np.ndarray:
    """Q-values by which the agent is evaluated, or those of one of its networks."""
    return GreedyValues(network or agent.network).values(obs)


def agent_with_memory(config: Config, space: spaces.Box = VECTOR, steps: int = 60) -> DQN:
    agent = new_agent(config, space)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        agent.observe(random_step(rng, config.num_envs, space))
    return agent
