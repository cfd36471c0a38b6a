"""Packed policies: what their header says, and a policy to play by.

    {"network": {"actions": 6, "backbone": "8x8s4-8x4s2-32", "shape": [4, 84, 84]},
     "task": {"env": "ALE/Pong-v5", "hash": "41f8a125e202"}}

The network gives logits, or action values where it says `"q_values": true`, and has two heads with `"dueling": true`.
The task also holds the settings of the environment that differ from the defaults, and an epsilon other than 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.compression.teacher import Teacher
from agents.rl.greedy_policy import GreedyValues
from agents.rl.interfaces import Policy
from agents.rl.q_networks import QNetwork
from agents.training.environments import task_fingerprint
from envs import names
from envs.config import EnvConfig, UnknownEnvError
from rl_gen_lab.backbones.described import KNOWN
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.compression import stages
from rl_gen_lab.compression.numpy_network import LARGEST, shapes_of
from rl_gen_lab.compression.packed_file import NAMES, Packed, read, read_header
from rl_gen_lab.runs.weights import load_network, tensors_digest

SUFFIX = ".rlz"
FLAGS = ("dueling", "q_values")
LARGEST_FILE = 1 << 28  # bytes


def header_of(teacher: Teacher, backbone: str, *flags: str) -> dict[str, Any]:
    """Return the header of a network that plays a teacher's game. flags: those of FLAGS that hold for it."""
    network = {"backbone": backbone, "shape": list(teacher.shape), "actions": teacher.actions}
    defaults = to_dict(EnvConfig())
    world = {key: value for key, value in to_dict(teacher.world).items() if value != defaults[key]}
    fingerprint = task_fingerprint(teacher.env, teacher.world, teacher.epsilon)
    task: dict[str, Any] = {"env": teacher.env, "hash": fingerprint.hash}
    task |= ({"world": world} if world else {}) | ({"epsilon": teacher.epsilon} if teacher.epsilon else {})
    return {"network": network | dict.fromkeys(flags, True), "task": task}


def names_itself(backbone: str) -> bool:
    """Return whether a header with this backbone says which tensors follow."""
    return backbone in KNOWN or "-" in backbone


@dataclass(frozen=True)
class PackedPolicy:
    """A policy from a packed file, the task it was made for, and the file's size."""

    packed: Packed
    network: QNetwork
    policy: Policy
    env: str
    world: EnvConfig
    epsilon: float
    size_bytes: int

    def teacher(self) -> Teacher:
        """Return this policy as a teacher of others."""
        shape, actions = tuple(self.header["network"]["shape"]), int(self.header["network"]["actions"])
        size = 4 * sum(parameter.numel() for parameter in self.network.parameters())
        digest = tensors_digest(self.network.state_dict())
        task = (self.policy, self.env, self.world, self.epsilon)
        return Teacher("the packed policy", {}, *task, self.network, shape, actions, size, size, digest)

    @property
    def header(self) -> dict[str, Any]:
        """What the file says of itself."""
        return self.packed.header

    @classmethod
    def read(cls, path: Path) -> PackedPolicy:
        """Read a file. Raises: CheckpointError naming the file, for whatever is wrong with it."""
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise CheckpointError(f"it has more than {LARGEST_FILE:,} bytes")
            return cls.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}") from error
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, data: bytes, source: str = "the packed policy") -> PackedPolicy:
        """Read the bytes of a file; source: named in messages. Raises: CheckpointError."""
        header, _ = read_header(data)
        packed = read(data, None if NAMES in header else shapes_of)
        network = network_of(packed)
        task = header.get("task")
        if not isinstance(task, dict) or not isinstance(task.get("env"), str):
            raise CheckpointError("it is no policy: it names no environment")
        if ":" in task["env"]:  # resolving it would import the module, and so run what the file names
            raise CheckpointError(f"it names an environment of another module, {task['env']!r}: refused")
        try:
            env = names.resolve(task["env"])
            world = from_saved(EnvConfig, _table(task.get("world", {})), source, "world")
        except (UnknownEnvError, ConfigError) as error:
            raise CheckpointError(str(error)) from error
        epsilon = task.get("epsilon", 0.0)
        if not isinstance(epsilon, float) or not 0 <= epsilon <= 1:
            raise CheckpointError("its epsilon is no probability")
        return cls(packed, network, policy_of(network, gives_q_values(header)), env, world, epsilon, len(data))


def gives_q_values(header: dict[str, Any]) -> bool:
    """Return whether the network of a file gives action values; logits otherwise."""
    return bool(header["network"].get("q_values", False))


def policy_of(network: QNetwork, q_values: bool) -> Policy:
    """Return the greedy policy of a network of action values or logits, shown as probabilities."""
    greedy = GreedyValues(network)

    def probabilities(obs: np.ndarray) -> np.ndarray:
        return torch.from_numpy(greedy.values(obs)).softmax(1).numpy()

    return greedy.policy() if q_values else Policy(greedy.act, probabilities, "probability")


def network_of(packed: Packed) -> QNetwork:
    """Build the network of a packed file, on the CPU. Raises: CheckpointError."""
    network = packed.header.get("network")
    if not isinstance(network, dict):
        raise CheckpointError("it does not say what its network is")
    try:
        shape, actions = tuple(int(n) for n in network["shape"]), int(network["actions"])
        if not all(1 <= n <= LARGEST for n in (*shape, actions)):
            raise ValueError(f"observations of {shape} and {actions} actions")
        made = QNetwork(str(network["backbone"]), shape, actions, bool(network.get("dueling", False)))
        for kind, plan in packed.header.get("plans", []):
            stages.rebuild(kind, made, plan)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise CheckpointError(f"its network cannot be built: {error}") from error
    load_network(made, {name: torch.from_numpy(np.array(value)) for name, value in packed.values().items()}, "the file")
    return made.eval().requires_grad_(False)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CheckpointError("its settings of the environment cannot be read")
    return value
