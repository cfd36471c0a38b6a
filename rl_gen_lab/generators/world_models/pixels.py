"""The next frame from the last ones and the action, pixel by pixel: a U-Net with a memory, which copies by default.

Each pixel has a distribution over the colors of the game: how often each color is seen there, a bonus for the color
that it has now, both learned further, and what the U-Net adds to both. So only what moves has to be learned. The
memory, a GRU over the coarsest maps, counts what frames do not show, such as the time until a serve.
Sources: Ronneberger et al. 2015, "U-Net"; Gu et al. 2016, "Incorporating copying mechanism"; Cho et al. 2014, "GRU".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.generators.world_models import unet
from rl_gen_lab.generators.world_models.codes import ChangeCodes, code_nats, drawn_codes
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.generators.world_models.interfaces import Imagined, World
from rl_gen_lab.generators.world_models.patches import PIXELS, from_patches, grid_of, one_hot, to_patches
from rl_gen_lab.generators.world_models.sampling import drawn

COPY_BONUS = 4.0  # at first, for the present color of a pixel [nats]
MEMORY_CHANNELS = 16  # of the coarsest map, as the memory reads and writes it


@dataclass(frozen=True)
class State:
    """B dreams under way. patches: (B, C, 16, h, w) uint8, the last frames, the newest last; memory: (B, D) float32."""

    patches: Tensor
    memory: Tensor


@dataclass(frozen=True)
class Past:
    """What is known of N steps before the next frame.

    maps: of the U-Net's way down; out: (N, D), the memory's; inputs: (N, D), what it read; actions: (N, D); newest: (N,
    16, h, w) uint8, the present frame.
    """

    maps: list[Tensor]
    out: Tensor
    inputs: Tensor
    actions: Tensor
    newest: Tensor

    @property
    def vector(self) -> Tensor:
        """All of it that is no map, (N, 3 D)."""
        return torch.cat((self.out, self.inputs, self.actions), 1)


@dataclass(frozen=True)
class Prediction:
    """What may come next, of N frames, in patches.

    logits: (N, K, 16, h, w) of the colors; reward: (N, R) logits; end: (N,) logit; code_nats: (N,), what the codes of
    the change cost (0 without any).
    """

    logits: Tensor
    reward: Tensor
    end: Tensor
    code_nats: Tensor


class PixelDream(nn.Module):
    """A `WorldModel` of frames of K colors and others."""

    mean: Tensor
    inside: Tensor
    reward_values: Tensor
    updates: Tensor

    def __init__(self, config: DreamConfig, world: World, frequencies: Tensor) -> None:
        """frequencies: (K + 1, H, W) float32, shares of the training frames in which each pixel has each color."""
        super().__init__()
        self.config, self.num_actions, self.size = config, world.num_actions, world.size
        self.colors = len(frequencies)
        self.register_buffer("reward_values", world.rewards.clone(), persistent=False)
        self.grid = grid_of(self.size, unet.SIDE)
        coarse = self.grid[0] // unet.SIDE, self.grid[1] // unet.SIDE
        top = unet.widths(config.width)[-1]
        shares = to_patches(frequencies, self.grid)
        self.register_buffer("mean", shares)
        self.register_buffer("inside", to_patches(torch.ones(1, *self.size), self.grid)[0])
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.background = nn.Parameter(shares.clamp_min(1e-6).log())
        self.copy = nn.Parameter(torch.full((PIXELS, *self.grid), COPY_BONUS))
        self.embed = nn.Conv2d(self.colors * PIXELS, config.context * config.width, 1, bias=False)
        nn.init.normal_(self.embed.weight, std=(2 / (config.context * PIXELS)) ** 0.5)
        self.down = unet.Down(config.width)
        # number 0: no action, after the end
        self.action = nn.EmbeddingBag(world.frame_skip * (world.num_actions + 1), config.memory, mode="sum")
        nn.init.normal_(self.action.weight, std=0.5)
        self.read = nn.Conv2d(top, MEMORY_CHANNELS, 1)
        places = MEMORY_CHANNELS * coarse[0] * coarse[1]
        self.inputs = nn.Linear(places, config.memory)
        self.gru = nn.GRU(2 * config.memory, config.memory, batch_first=True)
        self.write = nn.Linear(config.memory, places)
        self.spread = nn.Conv2d(MEMORY_CHANNELS, top, 1)
        self.codes = None
        if config.codes:
            half = max(config.width // 2, 1)
            self.codes = ChangeCodes(config.codes, config.code_values, 3 * config.memory, self.colors, half, coarse)
            self.code = nn.Linear(config.codes * config.code_values, config.memory, bias=False)
        self.up = unet.Up(config.width, 2 * config.memory, (self.colors * PIXELS, PIXELS))
        self.outcome = nn.Sequential(
            nn.Linear(2 * config.memory, 128), nn.ReLU(), nn.Linear(128, len(world.rewards) + 1)
        )
        self.coarse = coarse

    def action_vectors(self, executed: Tensor) -> Tensor:
        """executed: (B, F) int64 in [-1, A) -> (B, D)."""
        offsets = torch.arange(executed.shape[1], device=executed.device) * (self.num_actions + 1)
        vectors: Tensor = self.action(executed + 1 + offsets)
        return vectors

    def embedded(self, patches: Tensor) -> Tensor:
        """patches: (N, 16, h, w) -> (N, C, width, h, w): what each says at each age, the oldest first."""
        deviations = one_hot(patches, self.colors).float() - self.mean
        vectors: Tensor = self.embed(deviations.flatten(1, 2))
        return vectors.unflatten(1, (self.config.context, -1))

    def remember(self, patches: Tensor, executed: Tensor, memory: Tensor | None = None) -> tuple[Past, Tensor]:
        """Look at T steps, each with its true frames.

        patches: (B, C - 1 + T, 16, h, w) uint8; executed: (B, T, F); memory: (B, D), None at first. Returns what
        is known of B * T steps, and the memory afterwards.
        """
        batch, steps = executed.shape[:2]
        context = self.config.context
        parts = self.embedded(patches.flatten(0, 1)).unflatten(0, (batch, -1))
        x = parts[:, :steps, 0]
        for age in range(1, context):
            x = x + parts[:, age : age + steps, age]
        maps = self.down(x.flatten(0, 1))
        actions = self.action_vectors(executed.flatten(0, 1))
        inputs = F.relu(self.inputs(F.relu(self.read(maps[-1])).flatten(1)))
        sequence = torch.cat((inputs, actions), 1).unflatten(0, (batch, steps))
        out, last = self.gru(sequence, None if memory is None else memory[None])
        newest = patches[:, context - 1 : context - 1 + steps].flatten(0, 1)
        return Past(maps, out.flatten(0, 1), inputs, actions, newest), last[0]

    def foretell(self, past: Past, chosen: Tensor | None, nats: Tensor) -> Prediction:
        """Predict what comes next. chosen: codes of the change (N, G, V), None without any; nats: what they cost."""
        told = past.out if chosen is None else past.out + self.code(chosen.flatten(1))
        written = self.write(told).unflatten(1, (MEMORY_CHANNELS, *self.coarse))
        maps = [*past.maps[:-1], past.maps[-1] + self.spread(F.relu(written))]
        colors, gate = self.up(maps, torch.cat((told, past.actions), 1))
        outcome = self.outcome(torch.cat((told, past.inputs), 1)).float()
        return Prediction(self._logits(colors, gate, past.newest), outcome[:, :-1], outcome[:, -1], nats)

    def forward(
        self,
        patches: Tensor,
        executed: Tensor,
        memory: Tensor | None = None,
        following: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> tuple[Prediction, Tensor]:
        """Predict T steps, each from true frames, as of `remember`.

        following: (B * T, 16, h, w), the true next frames, from which codes of the change are drawn (None: from the
        prior, at a temperature). Returns predictions with B * T rows, and the memory afterwards.
        """
        past, last = self.remember(patches, executed, memory)
        nats = torch.zeros(len(past.out), device=past.out.device)
        chosen: Tensor | None = None
        if self.codes is not None:
            prior = self.prior(past)
            if following is None:
                chosen = drawn_codes(prior, temperature, generator)
            else:
                posterior = self.posterior(past, following)
                chosen, nats = drawn_codes(posterior, 1.0, generator), code_nats(posterior, prior)
        return self.foretell(past, chosen, nats), last

    def prior(self, past: Past) -> Tensor:
        """Return logits of the codes before the next frame is seen, (N, G, V)."""
        assert self.codes is not None
        return self.codes.prior_logits(past.vector)

    def posterior(self, past: Past, following: Tensor) -> Tensor:
        """Return logits of the codes given the next frames (N, 16, h, w): (N, G, V)."""
        assert self.codes is not None
        before, after = one_hot(past.newest, self.colors), one_hot(following, self.colors)
        return self.codes.posterior_logits(past.vector, before, after)

    def _logits(self, colors: Tensor, gate: Tensor, newest: Tensor) -> Tensor:
        """colors: (N, K * 16, h, w); gate, newest (to copy from): (N, 16, h, w) -> (N, K, 16, h, w) float32."""
        logits = colors.float().unflatten(1, (-1, PIXELS)) + self.background
        return logits.scatter_add_(1, newest.long()[:, None], (gate + self.copy)[:, None])

    def begin(self, frames: Tensor, executed: Tensor) -> State:
        """As `WorldModel`."""
        missing = max(self.config.context + executed.shape[1] - frames.shape[1], 0)
        first = frames[:, :1].expand(-1, missing, -1, -1)
        patches = to_patches(torch.cat((first, frames), 1), self.grid)
        if executed.shape[1]:
            steps = self.config.context - 1 + executed.shape[1]
            memory = self.remember(patches[:, -1 - steps : -1], executed)[1]
        else:
            memory = torch.zeros(len(frames), self.config.memory, device=frames.device)
        return State(patches[:, -self.config.context :], memory)

    def imagine(
        self, state: State, executed: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> tuple[State, Imagined]:
        """As `WorldModel`."""
        prediction, memory = self(
            state.patches, executed[:, None], state.memory, temperature=temperature, generator=generator
        )
        frames = self.draw(prediction.logits, 0.0 if self.codes else temperature, generator)
        rewards = self.reward_values[drawn(prediction.reward, 1, temperature, generator)]
        patches = torch.cat((state.patches[:, 1:], frames[:, None]), 1)
        return State(patches, memory), Imagined(from_patches(frames, self.size), rewards, prediction.end.sigmoid())

    def draw(self, logits: Tensor, temperature: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Return the likeliest frames, or frames drawn pixel by pixel, in patches: (N, 16, h, w) uint8."""
        return drawn(logits, 1, temperature, generator).to(torch.uint8)
