"""A rollout of T vector steps of N environments, as policy gradients learn from it.

Environments reset in NEXT_STEP mode: after an episode's last step comes a dummy row, whose observation is the true last
one of that episode and whose action is ignored. So the observation after row t always stands in row t + 1, also where
an episode was truncated; a dummy row itself is no step, and `mask` is 0 there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space, spaces

from agents.rl import ops
from agents.rl.interfaces import Step
from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

ROWS = ("reward", "terminated", "ended", "dummy", "action")  # T of each
LONGER = ("obs", "first")  # T + 1 of each: also of what follows the last step


@dataclass(frozen=True)
class Advantages:
    """advantage: of the action taken; target: of the value; mask: 0 on dummy rows, else 1. All (T, N) float32."""

    advantage: Tensor
    target: Tensor
    mask: Tensor


class RolloutBuffer:
    """Stores one rollout: filled by `push`, emptied by `clear`.

    obs: (T+1, N, ...) uint8 or float32; first: (T+1, N) bool, obs begins an episode; action: (T, N) or (T, N, A), int64
    or float32, as the policy's head samples it; reward: (T, N) float32; terminated: (T, N) bool, the value ended (at a
    lost life or a point too, where the settings say so); ended: (T, N) bool, the next row is not its continuation;
    dummy: (T, N) bool. log_prob: (T, N) float32, of the action by an older policy that took it (None: by the network as
    it is). The last row of `first` is never set: the observation after the last step is only valued, as the
    episode's own next one.
    """

    def __init__(
        self, steps: int, num_envs: int, observation_space: Space[Any], action_space: Space[Any], device: torch.device
    ) -> None:
        shape = observation_space.shape
        assert shape is not None
        rows = (steps, num_envs)
        pixels = len(shape) == 3
        self.obs = torch.zeros(
            (steps + 1, num_envs, *shape), dtype=torch.uint8 if pixels else torch.float32, device=device
        )
        self.first = torch.zeros((steps + 1, num_envs), dtype=torch.bool, device=device)
        if isinstance(action_space, spaces.Box):
            self.action = torch.zeros((*rows, int(np.prod(action_space.shape))), device=device)
        else:
            self.action = torch.zeros((*rows, *(action_space.shape or ())), dtype=torch.int64, device=device)
        self.reward = torch.zeros(rows, device=device)
        self.terminated, self.ended, self.dummy = (torch.zeros(rows, dtype=torch.bool, device=device) for _ in range(3))
        # Rows of a CPU tensor are set several times faster through numpy, which shares its memory.
        self._shared = {name: getattr(self, name).numpy() for name in (*ROWS, *LONGER) if device.type == "cpu"}
        self.steps, self.length = steps, 0
        self.log_prob: Tensor | None = None

    @property
    def full(self) -> bool:
        """Return whether T rows are stored."""
        return self.length == self.steps

    def push(self, step: Step, action: Tensor, log_prob: Tensor | None = None) -> None:
        """Store a vector step; action: (N,) or (N, A), as the policy's head sampled it; log_prob: (N,)."""
        t, terminated = self.length, step.terminated | step.value_ends
        self._set("obs", t, step.obs)
        self._set("obs", t + 1, step.next_obs)
        self._set("first", t, step.first)
        self._set("reward", t, step.reward)
        self._set("terminated", t, terminated)
        self._set("ended", t, terminated | step.truncated)
        self._set("dummy", t, step.dummy)
        self.action[t] = action
        if log_prob is not None:
            self._log_probs()[t] = log_prob
        self.length += 1

    def _log_probs(self) -> Tensor:
        self.log_prob = torch.zeros_like(self.reward) if self.log_prob is None else self.log_prob
        return self.log_prob

    def _set(self, name: str, t: int, row: np.ndarray) -> None:
        if self._shared:
            self._shared[name][t] = row
        else:
            getattr(self, name)[t] = torch.from_numpy(row)

    def cut(self) -> None:
        """End all episodes under way as truncations, by a dummy row, because the environments restart.

        That row may make the rollout full.
        """
        if self.length == 0:
            return
        self.ended[self.length - 1] = True
        if not self.full:
            t = self.length
            self.first[t], self.terminated[t], self.ended[t], self.dummy[t] = False, False, True, True
            self.reward[t], self.action[t] = 0.0, 0
            self.obs[t + 1] = self.obs[t]
            self.length += 1

    def clear(self) -> None:
        """Discard the rollout."""
        self.length = 0

    def real_obs(self) -> Tensor:
        """Return the observations (B, ...) in which an action was taken."""
        return self.obs[: self.length][~self.dummy[: self.length]]

    def traces(self, gamma: float, lambda_: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return discount_t, lambda_t and mask of a full rollout, (T, N) float32 each."""
        return gamma * (~self.terminated).float(), lambda_ * (~self.ended).float(), (~self.dummy).float()

    def advantages(self, value: Tensor, reward: Tensor, gamma: float, lambda_: float) -> Advantages:
        """Return GAE and lambda-returns of a full rollout. value: (T+1, N), of `obs`; reward: (T, N), scaled or not."""
        discount_t, lambda_t, mask = self.traces(gamma, lambda_)
        value = value.detach()
        advantage = ops.gae(reward, discount_t, value[:-1], value[1:], lambda_t)
        return Advantages(advantage, advantage + value[:-1], mask)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows stored so far."""
        n = self.length
        rows = {name: getattr(self, name)[:n].clone() for name in ROWS}
        known = {} if self.log_prob is None else {"log_prob": self.log_prob[:n].clone()}
        return rows | {name: getattr(self, name)[: n + 1].clone() for name in LONGER} | known | {"length": n}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.length = n = range(len(self.reward) + 1).index(int(state["length"]))  # ValueError for another
        for name in ROWS:
            getattr(self, name)[:n] = state[name]
        for name in LONGER:
            getattr(self, name)[: n + 1] = state[name]
        if "log_prob" in state:
            self._log_probs()[:n] = state["log_prob"]


def sequences(x: Tensor, length: int) -> Tensor:
    """Cut (T, N, ...) into sequences: (length, S, ...) with S = T / length * N; sequence k * N + i is of copy i."""
    return x.unflatten(0, (-1, length)).transpose(0, 1).flatten(1, 2)


@dataclass(frozen=True)
class SequenceBatch:
    """Sequences of a rollout, (L, S, ...), with the outputs of the policy that collected it.

    obs: (L, S, ...); first: (L, S) bool; state: (2, S, units) before obs[0], or None; action: (L, S) or (L, S, A);
    log_prob_old, value_old, advantage, target, mask: (L, S) float32.
    """

    obs: Tensor
    first: Tensor
    state: Tensor | None
    action: Tensor
    log_prob_old: Tensor
    value_old: Tensor
    advantage: Tensor
    target: Tensor
    mask: Tensor

    def select(self, index: Tensor) -> SequenceBatch:
        """Return the minibatch of these sequences. index: (M,) int64."""
        parts = ((f.name, getattr(self, f.name)) for f in fields(self))
        columns: dict[str, Any] = {name: None if x is None else x.index_select(1, index) for name, x in parts}
        return SequenceBatch(**columns)
