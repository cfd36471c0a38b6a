"""Windows of recorded play: a few frames of context, and the steps after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.data.transitions import Episode

EXAMPLES = 50  # windows whose latency is measured


@dataclass(frozen=True)
class Windows:
    """B windows of T steps after C frames of context; the first step acts on the last frame of the context.

    frames: (B, C + T, H, W) uint8, numbers of colors; frame C - 1 + t is shown before step t, frame C + t after it.
    executed: (B, T, F) int64, the actions in the frames of each step, -1 after the end. rewards: (B, T) float32; ends:
    (B, T) bool, the game was over after the step.
    """

    frames: Tensor
    executed: Tensor
    rewards: Tensor
    ends: Tensor

    def to(self, device: torch.device) -> Windows:
        """Return the same on a device."""
        return Windows(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class SequenceSplit:
    """A part of a recording, cut into windows of `steps` steps one after the other; what is left over is not used.

    Before the first frame of an episode its context repeats it.
    """

    def __init__(self, name: str, episodes: Sequence[Episode], context: int, steps: int) -> None:
        self.name, self.context, self.steps = name, context, steps
        self.episodes = [episode for episode in episodes if len(episode) >= steps]
        self.starts = [
            (number, start)
            for number, episode in enumerate(self.episodes)
            for start in range(0, len(episode) - steps + 1, steps)
        ]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def images(self) -> Tensor:
        """The contexts of the first windows, (N, C, H, W) uint8: examples of what a model is given."""
        return self.windows(range(min(len(self), EXAMPLES))).frames[:, : self.context]

    def evenly_spaced(self, count: int) -> list[int]:
        """Return the indices of `count` windows, evenly spaced over the split."""
        return [int(i) for i in np.linspace(0, len(self) - 1, min(count, len(self))).round()]

    def places(self, indices: Sequence[int], offset: int = 0) -> list[tuple[int, int]]:
        """Return episode and first step of windows, up to `offset` steps later where the episode is long enough."""
        chosen = (self.starts[index] for index in indices)
        return [(number, min(start + offset, len(self.episodes[number]) - self.steps)) for number, start in chosen]

    def windows(self, indices: Sequence[int], offset: int = 0) -> Windows:
        """Return windows at their `places`."""
        parts = [self._window(*place) for place in self.places(indices, offset)]
        return Windows(*(torch.stack(column) for column in zip(*parts, strict=True)))

    def _window(self, number: int, start: int) -> tuple[Tensor, ...]:
        episode = self.episodes[number]
        shown = torch.arange(start - self.context + 1, start + self.steps + 1).clamp_min(0)
        steps = slice(start, start + self.steps)
        return (
            episode.frames[shown],
            episode.executed[steps],
            episode.rewards[steps],
            episode.terminated[steps],
        )
