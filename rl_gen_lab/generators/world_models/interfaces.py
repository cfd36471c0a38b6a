"""What commands and worlds ask of a model of a world, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rl_gen_lab.cli.errors import CheckpointError


@dataclass(frozen=True)
class World:
    """What a model must know of a recorded world beside its frames.

    size: (H, W) of frames [px]; colors: (K, 3) uint8 RGB, of which number K stands for all others; task: what was
    played; num_actions: A; frame_skip: F, emulator frames of a step; rewards: the different rewards of a step, (R,).
    """

    size: tuple[int, int]
    colors: Tensor
    task: str
    task_hash: str
    num_actions: int
    frame_skip: int
    rewards: Tensor

    def metadata(self) -> dict[str, Any]:
        """Return it as JSON, as it is kept with a run."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in values.items()}


@dataclass(frozen=True)
class Imagined:
    """A step of B dreams. frames: (B, H, W) uint8 numbers of colors; rewards: (B,) float32; ends: (B,) in [0, 1]."""

    frames: Tensor
    rewards: Tensor
    ends: Tensor


def world_of(values: Any, source: str) -> World:
    """Return a world as `World.metadata` described it. Raises: CheckpointError."""
    try:
        return World(
            size=(int(values["size"][0]), int(values["size"][1])),
            colors=torch.tensor(values["colors"], dtype=torch.uint8).reshape(-1, 3),
            task=str(values["task"]),
            task_hash=str(values["task_hash"]),
            num_actions=int(values["num_actions"]),
            frame_skip=int(values["frame_skip"]),
            rewards=torch.tensor(values["rewards"], dtype=torch.float32),
        )
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{source} is damaged: its world cannot be read ({error!r})") from error


class WorldModel(Protocol):
    """A model of a world, an nn.Module in evaluation mode. Its states are of its own kind."""

    def begin(self, frames: Tensor, executed: Tensor) -> Any:
        """Return the state after true frames.

        executed: (B, T, F) int64, the actions between the last T + 1 frames; frames: (B, T + 1 or more, H, W) uint8.
        """

    def imagine(
        self, state: Any, executed: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> tuple[Any, Imagined]:
        """Return the state after a step with actions (B, F), and what it shows.

        temperature: 0 takes the likeliest, 1 draws what may happen as often as it is likely.
        """


OTHER = (255, 0, 255)  # how colors without a number are drawn


def painted(frames: Tensor, colors: Tensor) -> Tensor:
    """frames: (B, H, W) uint8; colors: (K, 3) uint8 -> (B, 3, H, W) uint8 RGB."""
    table = torch.cat((colors, torch.tensor([OTHER], dtype=torch.uint8))).to(frames.device)
    return table[frames.long()].permute(0, 3, 1, 2)
