"""Small settings of the three policy-gradient agents, and weights after some learning, for the tests of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fake_run import train

from agents import actor_critic, ppo, reinforce
from agents.training.config import PolicyConfig
from rl_gen_lab.cli.settings import DeviceConfig

COMMON: dict[str, Any] = {
    "env": "CartPole",
    "num_envs": 3,
    "policy": PolicyConfig("mlp_small"),
    "device": DeviceConfig(device="cpu"),
}
A2C = actor_critic.Config(**COMMON, rollout_steps=8, entropy_coefficient=0.0)
PPO = ppo.Config(**COMMON, rollout_steps=16, minibatch_size=16)
REINFORCE = reinforce.Config(**COMMON, entropy_coefficient=0.0)


def weights_after(config: Any, learnings: int = 3) -> torch.Tensor:
    run = train(config, learnings=learnings)
    assert run.updates > 0 and all(np.isfinite(float(value)) for value in run.learned.values())
    return torch.cat([p.detach().flatten() for p in run.network.parameters()])


# Three steps, the last of them masked, for losses by hand.
MASK = torch.tensor([[1.0], [1.0], [0.0]])
LOG_PROB, ENTROPY = torch.tensor([[-2.0], [-3.0], [9.0]]), torch.tensor([[0.5], [0.7], [9.0]])
VALUE, TARGET = torch.tensor([[1.0], [2.0], [9.0]]), torch.tensor([[3.0], [1.0], [0.0]])
ADVANTAGE = torch.tensor([[2.0], [-1.0], [9.0]])
