"""Values and protocols shared by agents and training runs.

An agent's `train(config, run)` is typed against `TrainingRun` alone, so that a command
and a test can run it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from gymnasium import Space

from rl_gen_lab.cli.lazy import torch


@dataclass(frozen=True)
class Step:
    """A vector step of N environments: observation, action, reward, ends.

    obs: (N, ...) before the action; action: (N,) or (N, A); reward: (N,) float32 as the learner sees it (clipped if
    the settings say so); terminated, truncated: (N,) bool; value_ends: (N,) bool, the value ends but not the episode: a
    lost life or a point, where the settings say so; first: (N,) bool, obs begins an episode; dummy: (N,) bool, an
    autoreset step, which is no transition; next_obs: (N, ...) after the action (the true last observation when an
    episode ended).
    """

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    value_ends: np.ndarray
    first: np.ndarray
    dummy: np.ndarray
    next_obs: np.ndarray


@dataclass(frozen=True)
class Episode:
    """A finished episode of environment number `env`: unclipped return, length in agent steps."""

    env: int
    episodic_return: float
    length: int


@dataclass(frozen=True)
class Policy:
    """A trained agent, ready to act: greedily, or as it was trained.

    act: observations (N, ...) -> actions (N,) or (N, A). values: observations (N, ...) -> (N, A) float32, a score for
    each action, of which the largest is chosen; None for continuous actions. meaning: the kind of score. begin: called
    with (N,) bool before each `act`, true where an episode begins; None for policies without a memory. A policy with a
    memory must be asked exactly once a step: call `choose`. sample: observations -> actions drawn from the policy, and
    their scores; None for greedy policies. seed: called before an evaluation by whoever lets the policy draw.
    """

    act: Callable[[np.ndarray], np.ndarray]
    values: Callable[[np.ndarray], np.ndarray] | None = None
    meaning: Literal["Q-value", "probability"] = "Q-value"
    begin: Callable[[np.ndarray], None] | None = None
    sample: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]] | None = None
    seed: Callable[[int], None] | None = None

    def decide(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return actions and action scores for observations (N, ...)."""
        if self.sample is not None:
            return self.sample(obs)
        values = None if self.values is None else self.values(obs)
        return self.act(obs) if values is None else values.argmax(1), values

    def choose(self, obs: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return actions and action scores of one step; first: (N,) bool, an episode begins."""
        if self.begin is not None:
            self.begin(first)
        return self.decide(obs)


class Stateful(Protocol):
    """A part of a run that a checkpoint holds."""

    def state_dict(self) -> dict[str, Any]:
        """Return what to save."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""


class Generators(Stateful, Protocol):
    """Named random generators, all derived from the seed of the run."""

    def numpy(self, name: str) -> np.random.Generator:
        """Return the numpy generator of that name."""

    def torch(self, name: str, device: str | torch.device = "cpu") -> torch.Generator:
        """Return the torch generator of that name on a device."""

    def integer(self, name: str, *index: int) -> int:
        """Return a seed derived from the name and any indices."""


class EnvRunner(Stateful, Protocol):
    """N copies of an environment, stepped together.

    obs: (N, ...), what the next action answers to; first: (N,) bool, obs begins an episode.
    """

    obs: np.ndarray
    first: np.ndarray
    observation_space: Space[Any]
    action_space: Space[Any]

    def step(self, actions: np.ndarray) -> tuple[Step, list[Episode]]:
        """Take actions (N,) or (N, A); return what happened and the episodes that finished."""

    def play(self, actor: Any) -> tuple[Step, list[Episode]]:
        """Take a step by `actor.act(obs, first)`, here or in another process that has a copy of the actor's policy."""

    def send(self, actions: np.ndarray) -> None:
        """Begin a step, which `recv` ends; the learner may work in between."""

    def recv(self) -> tuple[Step, list[Episode]]:
        """End the step that `send` began."""

    def restart(self) -> None:
        """Begin all copies anew."""

    def load_state_dict(self, state: dict[str, Any], on_repeat: Callable[[int, int], None] | None = None) -> None:
        """Continue from what `state_dict` returned; on_repeat(done, total): called while steps are repeated."""

    def close(self) -> None:
        """Free the environments."""


class Exchange(Protocol):
    """What processes that train together exchange; a process alone gives back its input."""

    def mean_(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace the tensors of numbers among these by their means over the processes."""

    def mean_gradients_(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace the gradients of these parameters by their means over the processes."""

    def mean(self, value: float) -> float:
        """Return the mean of a number over the processes."""

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any of the processes."""


class TrainingRun(Protocol):
    """The training run, as a training loop sees it.

    env_runner: the environments, made as configured; generators: the run's randomness; device: where to compute.
    """

    @property
    def env_runner(self) -> EnvRunner:
        """The environments to train in."""

    @property
    def generators(self) -> Generators:
        """The random generators of the run."""

    @property
    def device(self) -> torch.device:
        """The device to compute on."""

    @property
    def group(self) -> Exchange:
        """The processes that train together."""

    @property
    def free_bytes(self) -> int:
        """The memory that is free on the device now."""

    def prepare(self, network: torch.nn.Module) -> None:
        """Move a new network to the device, and start it from the pretrained backbone if the run has one."""

    def begin(
        self, agent: Stateful, network: torch.nn.Module, policy: Policy | None = None, name: str = "agent"
    ) -> None:
        """Start or resume: checkpoints hold the agent, by `name`; evaluations and saved weights use the network.

        policy: how the agent acts in evaluations (None: greedily by the network).
        """

    def running(self) -> bool:
        """Return False once steps or minutes are spent, the task is solved, or somebody asked to stop."""

    def record(
        self,
        env_steps: int,
        updates: int,
        episodes: list[Episode],
        learned: Mapping[str, Any],
        status: Mapping[str, float],
    ) -> None:
        """Report a vector step: totals, finished episodes, metrics of the last update, values of the schedules."""

    def checkpoint_due(self) -> bool:
        """Return True when the loop must restart its environments and `save`."""

    def save(self) -> bool:
        """Write a checkpoint; False where the disk refused, which does not end the run."""
