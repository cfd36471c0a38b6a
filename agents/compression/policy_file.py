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
from envs.copies import RAISES, described
from rl_gen_lab.backbones.described import KNOWN
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.compression import stages
from rl_gen_lab.compression.bounded import bounded
from rl_gen_lab.compression.header import check_table, is_plans, is_text
from rl_gen_lab.compression.numpy_network import network_table, shapes_of
from rl_gen_lab.compression.packed_file import NAMES, Packed, opened, read, read_header
from rl_gen_lab.runs.weights import load_network, tensors_digest

SUFFIX = ".rlz"


def header_of(teacher: Teacher, backbone: str, *flags: str) -> dict[str, Any]:
    """Return the header of a network that plays a teacher's game. flags: dueling, q_values, where they hold."""
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
    task_hash: str  # of its task by the versions that are installed here

    def teacher(self) -> Teacher:
        """Return this policy as a teacher of others."""
        shape, actions = tuple(self.header["network"]["shape"]), int(self.header["network"]["actions"])
        size = 4 * sum(parameter.numel() for parameter in self.network.parameters())
        digest = tensors_digest(self.network.state_dict())
        task = (self.policy, self.env, self.world, self.epsilon)
        return Teacher("the packed policy", {}, *task, self.network, shape, actions, size, size, digest)

    @property
    def described(self) -> str:
        """The task and the size of the file, and whether its scores were of another task."""
        recorded = self.header["task"]["hash"]
        text = f"task {self.task_hash}: {self.env}, by {self.size_bytes:,} bytes"
        if recorded == self.task_hash:
            return text
        return f"{text}\nthe file says task {recorded}: made by other versions of Gymnasium or ale-py, or changed since"

    @property
    def header(self) -> dict[str, Any]:
        """What the file says of itself."""
        return self.packed.header

    @classmethod
    def read(cls, path: Path) -> PackedPolicy:
        """Read a file. Raises: CheckpointError naming the file, for whatever is wrong with it."""
        with opened(path) as data:
            return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, source: str = "the packed policy") -> PackedPolicy:
        """Read the bytes of a file; source: named in messages. Raises: CheckpointError."""
        header, _ = read_header(data)
        packed = read(data, None if NAMES in header else shapes_of)
        network = network_of(packed)
        env, world, epsilon, task_hash = _task_of(header, source)
        policy = policy_of(network, gives_q_values(header))
        return cls(packed, network, policy, env, world, epsilon, len(data), task_hash)


def gives_q_values(header: dict[str, Any]) -> bool:
    """Return whether the network of a file gives action values; logits otherwise."""
    return bool(header["network"].get("q_values", False))


class GreedyLogits:
    """Takes the action of the largest logit."""

    def __init__(self, network: QNetwork) -> None:
        self.network, self._greedy = network, GreedyValues(network)

    def policy(self) -> Policy:
        """Return this as a policy."""
        return Policy(self._greedy.act, self.probabilities, "probability")

    def probabilities(self, obs: np.ndarray) -> np.ndarray:
        """Return the probability (N, A) float32 of each action for observations (N, ...)."""
        return torch.from_numpy(self._greedy.values(obs)).softmax(1).numpy()


def policy_of(network: QNetwork, q_values: bool) -> Policy:
    """Return the greedy policy of a network of action values or of logits."""
    return (GreedyValues(network) if q_values else GreedyLogits(network)).policy()


def network_of(packed: Packed) -> QNetwork:
    """Build the network of a packed file, on the CPU, and try it on a black frame. Raises: CheckpointError."""
    backbone, shape, actions, dueling = network_table(packed.header)
    plans = packed.header.get("plans", [])
    if not is_plans(plans):
        raise CheckpointError("its plans of changed layers make no sense")
    with bounded():
        made = QNetwork(backbone, shape, actions, dueling)
        for kind, plan in plans:
            stages.rebuild(kind, made, plan)
        load_network(made, {name: torch.from_numpy(np.array(v)) for name, v in packed.values().items()}, "the file")
        found = made.eval().requires_grad_(False)(torch.zeros(1, *shape, dtype=torch.uint8))
        if found.shape != (1, actions):
            raise CheckpointError(f"its network gives {found.shape[1]} values for {actions} actions")
    return made


def _task_of(header: dict[str, Any], source: str) -> tuple[str, EnvConfig, float, str]:
    """Return the environment of a header, its settings, the epsilon of its scores, and the hash of this task here.

    The environment is made once: its observations and actions must be those of the network. Raises: CheckpointError.
    """
    if not isinstance(header.get("task"), dict) or not is_text(header["task"].get("env")):
        raise CheckpointError("it is no policy: it names no environment")
    task = check_table(
        header["task"],
        "its task",
        {"env": is_text, "hash": is_text},
        {"world": lambda value: isinstance(value, dict), "epsilon": lambda value: isinstance(value, float)},
    )
    if ":" in task["env"]:  # resolving it would import the module, and so run what the file names
        raise CheckpointError(f"it names an environment of another module, {task['env']!r}: refused")
    epsilon = task.get("epsilon", 0.0)
    if not 0 <= epsilon <= 1:
        raise CheckpointError("its epsilon is no probability")
    try:
        env = names.resolve(task["env"])
        world = from_saved(EnvConfig, task.get("world", {}), source, "world")
    except (UnknownEnvError, ConfigError) as error:
        raise CheckpointError(str(error)) from error
    return env, world, epsilon, _checked_hash(header, env, world, epsilon)


def _checked_hash(header: dict[str, Any], env: str, world: EnvConfig, epsilon: float) -> str:
    """Return the hash of a task that the network plays. Raises: CheckpointError for another environment."""
    _, shape, actions, _ = network_table(header)
    if world.observe != "pixels":
        raise CheckpointError(f"its network reads frames, but its world observes {world.observe!r}")
    side, channels = world.image_size, world.frame_stack * (1 if world.grayscale else 3)
    wrong_size = names.is_atari(env) and shape != (channels, side, side)
    if wrong_size or shape[0] % world.frame_stack:  # before frames of this size are made
        raise CheckpointError(
            f"its network reads frames of {shape}, but its world has {world.frame_stack} frames"
            f" of {side}x{side} pixels in an observation of {env}"
        )
    try:
        task = task_fingerprint(env, world, epsilon)
    except RAISES as error:
        raise CheckpointError(f"its environment {env} cannot be made here: {described(error)}") from error
    seen, choices = f"{shape} uint8", f"Discrete({actions})"
    if (task.fields["observation"], task.fields["actions"]) != (seen, choices):
        raise CheckpointError(
            f"its network reads {seen} and chooses of {choices}, but {env} as in its header has"
            f" {task.fields['observation']} and {task.fields['actions']}"
        )
    return task.hash
