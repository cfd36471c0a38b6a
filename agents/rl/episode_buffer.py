"""One whole episode of each environment, as REINFORCE learns from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space

from agents.rl import ops
from agents.rl.interfaces import Step
from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

# Stored of each step, (N, ...) each: alive, the environment's episode of this batch is not over; goes_on, the return of
# the next row belongs to this one; cut, the episode was truncated here.
ROWS = ("obs", "action", "reward", "alive", "goes_on", "cut")


class EpisodeBuffer:
    """Collects vector steps until each of N environments has played an episode; later steps of it are marked.

    done: (N,) bool, environments whose episode of this batch has ended. last_obs: (N, ...), the true last observation
    of the ended ones.
    """

    def __init__(self, num_envs: int, observation_space: Space[Any], device: torch.device) -> None:
        """observation_space: of one environment, (C, H, W) uint8 pixels or (D,) float32."""
        shape = observation_space.shape
        assert shape is not None
        self.device = device
        self.done = np.zeros(num_envs, dtype=bool)
        self.last_obs = torch.zeros((num_envs, *shape), dtype=torch.uint8 if len(shape) == 3 else torch.float32)
        self._rows: dict[str, list[Tensor]] = {name: [] for name in ROWS}

    @property
    def full(self) -> bool:
        """Return whether every environment has played its episode."""
        return bool(self.done.all())

    def push(self, step: Step, action: Tensor) -> None:
        """Store a vector step; action: (N,) or (N, A), as the policy's head sampled it."""
        alive = ~self.done
        goes_on = ~(step.terminated | step.truncated | step.value_ends)
        cut = step.truncated & ~(step.terminated | step.value_ends)
        arrays = {"obs": step.obs, "reward": step.reward, "alive": alive, "goes_on": goes_on, "cut": cut}
        rows = {name: ops.to_tensor(array, self.device) for name, array in arrays.items()} | {"action": action}
        for name, row in rows.items():
            self._rows[name].append(row.clone())  # the environments may write into their arrays again
        ended = alive & (step.terminated | step.truncated)
        self.last_obs[torch.from_numpy(ended)] = torch.from_numpy(step.next_obs[ended])
        self.done |= ended

    def take(self) -> dict[str, Tensor]:
        """Return the rows as (T, N, ...) tensors by the names in ROWS, and empty the buffer."""
        rows = {name: torch.stack(self._rows[name]) for name in ROWS}
        self._rows = {name: [] for name in ROWS}
        self.done[:] = False
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Return the episodes under way."""
        rows = {name: torch.stack(rows) if rows else None for name, rows in self._rows.items()}
        return {"rows": rows, "over": self.done, "last_obs": self.last_obs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        rows, shape = {name: state["rows"][name] for name in ROWS}, tuple(self.last_obs.shape)
        for name, row in rows.items():
            if row is not None and tuple(row.shape[1:]) != (shape if name == "obs" else (shape[0], *row.shape[2:])):
                raise ValueError(f"'{name}' of the episodes under way is of shape {tuple(row.shape)}")
        if len({None if row is None else len(row) for row in rows.values()}) != 1:
            raise ValueError("the episodes under way have rows of several lengths")
        self._rows = {name: [] if row is None else list(row.to(self.device)) for name, row in rows.items()}
        self.done[:] = state["over"]
        self.last_obs.copy_(state["last_obs"])
