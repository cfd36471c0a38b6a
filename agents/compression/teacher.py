"""A trained agent as teacher: scores of all actions for any state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from agents.rl.interfaces import Policy
from agents.training.environments import make_vec
from agents.training.load import evaluation_of, load_policy, world_of
from envs import names
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.weights import tensors_digest

SMALLEST = 1e-8  # probability, before its logarithm


@dataclass(frozen=True)
class Teacher:
    """What a student learns from.

    shape: of one observation; actions: A; network_bytes: float32 parameters of one of its networks, and of all that
    decide together; digest: of its weights; name: for messages; settings: of its training.
    """

    name: str
    settings: Mapping[str, Any]
    policy: Policy
    env: str
    world: EnvConfig
    epsilon: float
    network: nn.Module
    shape: tuple[int, ...]
    actions: int
    one_network_bytes: int
    all_networks_bytes: int
    digest: str

    @classmethod
    def of(cls, path: Path, which: Literal["best", "last"] = "best") -> Teacher:
        """Read a run. Raises: CheckpointError; ConfigError for an agent without scores of single actions, or memory."""
        run = RunFolder.open(path)
        saved = run.read_config("config", "env_id")
        policy = load_policy(run, which, stochastic=False)
        if policy.values is None:
            raise ConfigError(f"{run} has continuous actions; agents of discrete ones can be compressed")
        world, env = world_of(run), names.resolve(str(saved["config"].get("env", saved["env_id"])))
        vec = make_vec(env, 1, world)
        vec.close()
        shape = vec.single_observation_space.shape
        if shape is None or len(shape) != 3:
            raise ConfigError(f"{run} does not see frames; agents that do can be compressed")
        weights, _ = load_weights(run.checkpoints / f"{which}.safetensors")
        one, everything = _network_bytes(weights)
        network = policy.values.__self__.network  # type: ignore[attr-defined]  # of GreedyValues or GreedyActor
        actions, epsilon = int(vec.single_action_space.n), evaluation_of(run).epsilon  # type: ignore[attr-defined]
        digest, size = tensors_digest(weights), tuple(shape)
        return cls(
            str(run), saved["config"], policy, env, world, epsilon, network, size, actions, one, everything, digest
        )

    def logits(self, obs: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Action values or log-probabilities (N, A) of observations (N, C, H, W); first: (N,) bool, new episodes."""
        values = self.scores(obs, first)
        return values if self.is_value else np.log(np.maximum(values, SMALLEST))

    def scores(self, obs: np.ndarray, first: np.ndarray | None = None) -> np.ndarray:
        """Action values or probabilities (N, A) of observations (N, C, H, W); first: as in `logits`; None: none is."""
        assert self.policy.values is not None
        if self.policy.begin is not None:
            self.policy.begin(np.zeros(len(obs), bool) if first is None else first)
        return self.policy.values(obs)

    @property
    def is_value(self) -> bool:
        """Whether its scores are action values, which need a temperature."""
        return self.policy.meaning == "Q-value"


def _network_bytes(weights: dict[str, Any]) -> tuple[int, int]:
    """Bytes of the float32 parameters of one network and of all that vote; statistics of frames do not count."""
    parameters = {name: t for name, t in weights.items() if not name.endswith((".mean", ".scale", "taken"))}
    everything = sum(t.numel() * t.element_size() for t in parameters.values())
    prefixes = ("newest.networks.0.", "networks.0.", "newest.", "")  # as in agents/rl/q_networks.py
    prefix = next(prefix for prefix in prefixes if any(name.startswith(prefix) for name in parameters))
    one = sum(t.numel() * t.element_size() for name, t in parameters.items() if name.startswith(prefix))
    return one, everything
