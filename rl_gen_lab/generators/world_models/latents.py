"""A world in the codes of a generator: an LSTM tells the next code, the reward and the end, and draws no frame.

Source: Ha & Schmidhuber 2018, "World models". Frames are drawn by the generator's decoder only where someone looks, so
that a policy sees ten thousands of steps in a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from rl_gen_lab.generators.interfaces import Generator
from rl_gen_lab.generators.palette import Palette
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.generators.world_models.interfaces import Imagined, World, painted
from rl_gen_lab.generators.world_models.next_code import next_code_of
from rl_gen_lab.generators.world_models.sampling import drawn

ACTION_NUMBERS = 32
CHUNK = 32  # frames encoded or drawn at a time


@dataclass(frozen=True)
class State:
    """B dreams under way. codes: (B, L) or (B, Z), of the present frames; hidden, cell: (B, D) of the LSTM."""

    codes: Tensor
    hidden: Tensor
    cell: Tensor


class LatentDream(nn.Module):
    """A `WorldModel` on the codes of a generator, which stays as it is."""

    reward_values: Tensor
    updates: Tensor

    def __init__(self, config: DreamConfig, world: World, generator: nn.Module) -> None:
        """Raises: ConfigError for a generator whose codes have no next one."""
        super().__init__()
        self.config, self.num_actions, self.size = config, world.num_actions, world.size
        self.generator = generator.eval().requires_grad_(False)
        self.next_code = next_code_of(generator, config.components)
        self.world_palette = Palette(world.colors)
        self.colors = world.colors
        self.register_buffer("reward_values", world.rewards.clone(), persistent=False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.action = nn.EmbeddingBag(world.frame_skip * (world.num_actions + 1), ACTION_NUMBERS, mode="sum")
        self.lstm = nn.LSTM(self.next_code.features + ACTION_NUMBERS, config.memory, batch_first=True)
        self.next = nn.Linear(config.memory, self.next_code.outputs)
        nn.init.normal_(self.next.weight, std=0.01)
        nn.init.zeros_(self.next.bias)
        self.outcome = nn.Sequential(nn.Linear(config.memory, 128), nn.ReLU(), nn.Linear(128, len(world.rewards) + 1))

    def train(self, mode: bool = True) -> LatentDream:
        """Leave the generator in evaluation mode."""
        super().train(mode)
        self.generator.eval()
        return self

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """frames: (N, H, W) uint8, numbers of the world's colors -> codes (N, ...)."""
        model = cast(Generator, self.generator)
        return torch.cat([model.encode(painted(part, self.colors).contiguous()) for part in frames.split(CHUNK)])

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (N, ...) -> their likeliest frames, (N, H, W) uint8, in numbers of the world's colors."""
        model = cast(Generator, self.generator)
        images = torch.cat([model.likelihood.likeliest(model.decode(part)) for part in codes.split(CHUNK)])
        return self.world_palette.index(images).to(torch.uint8)

    def action_vectors(self, executed: Tensor) -> Tensor:
        """executed: (..., F) int64 in [-1, A) -> (..., D)."""
        offsets = torch.arange(executed.shape[-1], device=executed.device) * (self.num_actions + 1)
        flat = (executed + 1 + offsets).flatten(0, -2)
        vectors: Tensor = self.action(flat)
        return vectors.unflatten(0, executed.shape[:-1])

    def forward(
        self, codes: Tensor, executed: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """codes: (B, T, ...), executed: (B, T, F) -> the LSTM's outputs (B, T, D), and its state afterwards."""
        inputs = torch.cat((self.next_code.read(codes), self.action_vectors(executed)), -1)
        started = None if state is None else (state[0][None], state[1][None])
        out, (hidden, cell) = self.lstm(inputs, started)
        return out, (hidden[0], cell[0])

    def begin(self, frames: Tensor, executed: Tensor) -> State:
        """As `WorldModel`."""
        count = executed.shape[1] + 1
        codes = self.encode(frames[:, -count:].flatten(0, 1)).unflatten(0, (len(frames), count))
        return self.begin_in(codes, executed)

    def begin_in(self, codes: Tensor, executed: Tensor) -> State:
        """As `begin`, from codes (B, T + 1, ...)."""
        if executed.shape[1]:
            hidden, cell = self(codes[:, :-1], executed)[1]
        else:
            hidden = cell = torch.zeros(len(codes), self.config.memory, device=executed.device)
        return State(codes[:, -1], hidden, cell)

    def advance(
        self, state: State, executed: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> tuple[State, Tensor, Tensor]:
        """Dream a step without drawing it. Returns the state, rewards and ends as of `Imagined`."""
        out, (hidden, cell) = self(state.codes[:, None], executed[:, None], (state.hidden, state.cell))
        out = out[:, 0]
        codes = self.next_code.draw(self.next(out), state.codes, temperature, generator)
        outcome = self.outcome(out).float()
        rewards = self.reward_values[drawn(outcome[:, :-1], 1, temperature, generator)]
        return State(codes, hidden.float(), cell.float()), rewards, outcome[:, -1].sigmoid()

    def imagine(
        self, state: State, executed: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> tuple[State, Imagined]:
        """As `WorldModel`."""
        state, rewards, ends = self.advance(state, executed, temperature, generator)
        return state, Imagined(self.decode(state.codes), rewards, ends)

    def seen(self, state: State) -> Tensor:
        """Return what a policy sees: the code and the LSTM's state, (B, features + D) float32."""
        bound = self.next_code.bound
        return torch.cat((self.next_code.read(state.codes).clamp(-bound, bound), state.hidden), 1).float()
