"""The task of `dream` with `--dream.model latent`: the next code of a generator, the reward and the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.generators.bounds import BITS
from rl_gen_lab.generators.task import GenerationTask
from rl_gen_lab.generators.world_models import starts
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.generators.world_models.latents import LatentDream
from rl_gen_lab.generators.world_models.metrics import (
    Comparison,
    count_outcomes,
    draw_dream,
    outcome_metrics,
    outcome_nats,
)
from rl_gen_lab.generators.world_models.next_code import CategoricalCode
from rl_gen_lab.generators.world_models.recording import Recording
from rl_gen_lab.generators.world_models.sequences import SequenceSplit

ENCODED_AT_ONCE, DREAMS_AT_ONCE = 256, 32
COMPARED = 64  # windows of a split whose dreams are drawn and compared


class LatentDreamTask:
    """A world in the codes of a generator. Codes of all frames are computed once, before training."""

    def __init__(
        self,
        config: DreamConfig,
        data: Recording,
        generator: GenerationTask,
        about: dict[str, Any],
        device: torch.device,
    ) -> None:
        """about: what the generator's run keeps, kept here too. Raises: ConfigError for a generator of other frames."""
        self.config, self.device, self.world = config, device, data.world
        if generator.size != data.world.size:
            raise ConfigError(f"the generator draws frames of {generator.size}, the recording has {data.world.size}")
        self.model = LatentDream(config, data.world, generator.network).to(device)
        exact = isinstance(self.model.next_code, CategoricalCode)
        self.unit, self.factor = ("bits", BITS) if exact else ("nats", 1.0)
        self.target_metric = f"code_log_likelihood_{self.unit}"
        kept = ("config", "categories", "image_size", "colors")
        self.run_metadata: dict[str, Any] = {"generator": {name: about[name] for name in kept}}
        self._train = data.splits["train"]
        self._codes = {name: self._encoded(split) for name, split in data.splits.items()}

    def _encoded(self, split: SequenceSplit) -> list[Tensor]:
        """Return the codes of the frames of each episode, (T + 1, ...)."""
        codes, done = [], 0
        total = sum(len(episode.frames) for episode in split.episodes)
        with ProgressDisplay(f"encoding {split.name}", total, "frames") as display:
            for episode in split.episodes:
                parts = []
                for frames in episode.frames.split(ENCODED_AT_ONCE):
                    parts.append(self.model.encode(frames.to(self.device)))
                    done += len(frames)
                    display.update(done, "")
                codes.append(torch.cat(parts))
        return codes

    def keep(self, run_folder: Path) -> None:
        """Keep beginnings of dreams with the run. Raises: SaveError."""
        starts.write(run_folder, self._train)

    @property
    def network(self) -> nn.Module:
        """The model, its generator included."""
        return self.model

    def _windows(self, split: SequenceSplit, indices: list[int], offset: int = 0) -> tuple[Tensor, ...]:
        """Return codes (B, T + 1, ...), actions (B, T, F), rewards and ends (B, T) of windows."""
        rows = []
        for number, start in split.places(indices, offset):
            episode, steps = split.episodes[number], slice(start, start + split.steps)
            codes = self._codes[split.name][number][start : start + split.steps + 1]
            rows.append((codes, episode.executed[steps], episode.rewards[steps], episode.terminated[steps]))
        return tuple(torch.stack(column).to(self.device) for column in zip(*rows, strict=True))

    def loss(self, split: SequenceSplit, indices: Tensor) -> dict[str, Tensor]:
        """-log p of the next codes, rewards and ends; means over steps [nats]."""
        offset = int(torch.randint(self.config.steps, ()))
        codes, executed, rewards, ends = self._windows(split, indices.tolist(), offset)
        out = self.model(self._disturbed(codes[:, :-1]), executed)[0].flatten(0, 1)
        present, following = codes[:, :-1].flatten(0, 1), codes[:, 1:].flatten(0, 1)
        code = self.model.next_code.nats(self.model.next(out), present, following).mean()
        outcome = self.model.outcome(out).float()
        other = outcome_nats(outcome[:, :-1], outcome[:, -1], rewards, ends, self.model.reward_values)
        self.model.updates += 1
        loss = code + self.config.outcome_weight * other
        return {"loss": loss, "code_nats": code.detach(), "outcome_nats": other.detach()}

    def _disturbed(self, codes: Tensor) -> Tensor:
        """Exchange some parts of codes for those of other steps, so that the network does not trust its own blindly."""
        if not self.config.noise:
            return codes
        others = codes.flatten(0, 1)[torch.randperm(codes[..., 0].numel(), device=codes.device)].view_as(codes)
        return torch.where(torch.rand(codes.shape, device=codes.device) < self.config.noise, others, codes)

    def predict(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8, the last frames -> the likeliest next ones without action, (B, H, W) uint8."""
        idle = torch.zeros(len(images), self.world.frame_skip, dtype=torch.int64, device=self.device)
        state = self.model.begin(images[:, -1:].to(self.device), idle[:, None][:, :0])
        return self.model.imagine(state, idle)[1].frames.cpu()

    @torch.no_grad()
    def evaluate(self, split: SequenceSplit, on_image: Callable[[int], None]) -> dict[str, float]:
        """Measure the next code given all true ones, reward and end, and dreams as they are drawn."""
        nats, steps, counts = 0.0, 0, torch.zeros(4, 2)
        comparison = Comparison(self.config.steps)
        compared = set(split.evenly_spaced(COMPARED))
        for start in range(0, len(split), DREAMS_AT_ONCE):
            chosen = list(range(start, min(start + DREAMS_AT_ONCE, len(split))))
            codes, executed, rewards, ends = self._windows(split, chosen)
            out = self.model(codes[:, :-1], executed)[0].flatten(0, 1)
            present, following = codes[:, :-1].flatten(0, 1), codes[:, 1:].flatten(0, 1)
            nats += float(self.model.next_code.nats(self.model.next(out), present, following).sum())
            steps += len(out)
            outcome = self.model.outcome(out).float()
            told = self.model.reward_values[outcome[:, :-1].argmax(1)]
            counts += count_outcomes(told, outcome[:, -1] > 0, rewards.flatten(), ends.flatten())
            if rows := [index for index in chosen if index in compared]:
                comparison.add(self.model, split.windows(rows).to(self.device), split.context)
            on_image(chosen[-1] + 1)
        metrics = {f"code_log_likelihood_{self.unit}": -self.factor * nats / steps}
        return metrics | comparison.metrics() | outcome_metrics(counts)

    def warnings(self, metrics: dict[str, float]) -> list[str]:
        """As `Watched`."""
        return []

    def draw_progress(self, split: SequenceSplit, folder: Path) -> list[Path]:
        """As `Watched`: what happened, a dream under the same actions, and the pixels that differ."""
        return [draw_dream(self.model, self.world, split, folder / "dream.png")]
