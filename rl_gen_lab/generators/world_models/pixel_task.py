"""The task of `dream` with `--dream.model pixels`: the loss of a window of play, and its metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.generators.bounds import BITS
from rl_gen_lab.generators.world_models import starts
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.generators.world_models.metrics import (
    Comparison,
    count_outcomes,
    draw_dream,
    outcome_metrics,
    outcome_nats,
)
from rl_gen_lab.generators.world_models.patches import to_patches
from rl_gen_lab.generators.world_models.pixels import PixelDream, Prediction
from rl_gen_lab.generators.world_models.recording import Recording
from rl_gen_lab.generators.world_models.sequences import SequenceSplit, Windows

EVALUATION_BATCH, EVALUATION_SEED = 4, 0


class PixelDreamTask:
    """A model of a world, judged by what the next frame costs in bits and by dreams beside what happened."""

    target_metric = "elbo_bits"

    def __init__(self, config: DreamConfig, data: Recording, device: torch.device) -> None:
        self.config, self.device, self.world = config, device, data.world
        self.model = PixelDream(config, data.world, data.frequencies).to(device)
        self._train = data.splits["train"]
        self.run_metadata: dict[str, Any] = {}
        # -log p of one of the colors that have no number of their own, all equally likely
        self.others_nats = float(torch.tensor(2.0**24 - len(data.world.colors)).log())

    def keep(self, run_folder: Path) -> None:
        """Keep beginnings of dreams with the run. Raises: SaveError."""
        starts.write(run_folder, self._train)

    @property
    def network(self) -> nn.Module:
        """The model."""
        return self.model

    def loss(self, split: SequenceSplit, indices: Tensor) -> dict[str, Tensor]:
        """-log p of the next frames, summed over pixels, and of reward and end; means over steps [nats].

        indices: (B,) int64 of windows, which begin anywhere within the first window's length.
        """
        c, updates = self.config, int(self.model.updates)
        windows = split.windows(indices.tolist(), int(torch.randint(c.steps, ()))).to(self.device)
        patches = to_patches(windows.frames, self.model.grid)
        seen, target = patches[:, :-1], patches[:, c.context :].flatten(0, 1)
        if updates >= c.plain_updates:
            seen = self._disturbed(seen, windows.executed, target)
        prediction, _ = self.model(seen, windows.executed, following=target)
        nats = self._pixel_nats(prediction, target)
        self.model.updates += 1
        changed = patches[:, c.context - 1 : -1].flatten(0, 1) != target
        weight = self._changed_weight(updates)
        pixels = torch.where(changed, weight * nats, nats).flatten(1).sum(1).mean()
        outcome = outcome_nats(
            prediction.reward, prediction.end, windows.rewards, windows.ends, self.model.reward_values
        )
        code = prediction.code_nats.mean()
        return {
            "loss": pixels + code + self.config.outcome_weight * outcome,
            "frame_nats": nats.detach().flatten(1).sum(1).mean(),
            "code_nats": code.detach(),
            "outcome_nats": outcome.detach(),
        }

    def _changed_weight(self, updates: int) -> float:
        """Return how often changed pixels count now: it falls geometrically to 1."""
        c = self.config
        if updates < c.plain_updates:
            return 1.0
        return float(c.changed_weight ** max(1 - updates / max(c.changed_weight_updates, 1), 0))

    def _disturbed(self, seen: Tensor, executed: Tensor, target: Tensor) -> Tensor:
        """Return the frames that the model is given, (B, C - 1 + T, 16, h, w), with noise or as it would draw them."""
        c = self.config
        if c.noise:
            colors = torch.randint(len(self.world.colors), seen.shape, dtype=torch.uint8, device=seen.device)
            seen = torch.where(torch.rand(seen.shape, device=seen.device) < c.noise, colors, seen)
        if c.own_frames and float(torch.rand(())) < c.own_frames:
            with torch.no_grad():
                drawn = self.model.draw(self.model(seen, executed, following=target)[0].logits)
            own = drawn.unflatten(0, (len(seen), -1))[:, :-1]
            seen = torch.cat((seen[:, : c.context], own), 1)
        return seen

    def _pixel_nats(self, prediction: Prediction, target: Tensor) -> Tensor:
        """-log p of the pixels of frames, (N, 16, h, w); 0 beyond their edges."""
        return F.cross_entropy(prediction.logits, target.long(), reduction="none") * self.model.inside

    def _frame_nats(self, windows: Windows) -> tuple[Prediction, Tensor, Tensor]:
        """Predict every frame from true ones. Returns targets and -log p of their pixels, (B * T, 16, h, w)."""
        patches = to_patches(windows.frames, self.model.grid)
        target = patches[:, self.config.context :].flatten(0, 1)
        draws = torch.Generator(self.device).manual_seed(EVALUATION_SEED)
        prediction, _ = self.model(patches[:, :-1], windows.executed, following=target, generator=draws)
        return prediction, target, self._pixel_nats(prediction, target)

    def predict(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8, the last frames -> the likeliest next ones without action, (B, H, W) uint8."""
        frames = images.to(self.device)
        idle = torch.zeros(len(frames), frames.shape[1], self.world.frame_skip, dtype=torch.int64, device=self.device)
        state = self.model.begin(frames, idle[:, :0])
        return self.model.imagine(state, idle[:, 0])[1].frames.cpu()

    @torch.no_grad()
    def evaluate(self, split: SequenceSplit, on_image: Callable[[int], None]) -> dict[str, float]:
        """Measure the next frame given all true ones, and dreams.

        `elbo_bits`: minus what a frame costs in a file, its pixels (`log_likelihood_bits`) and its codes (`code_bits`).
        `wrong_pixels`: of the likeliest next frame; `wrong_pixels/5`: of a dream after 5 steps; `rewards_found`,
        `ends_found`: shares of the steps with one that are told so; `false_rewards`, `false_ends`: per 1,000 others.
        """
        nats, code, wrong, frames, counts = 0.0, 0.0, 0.0, 0, torch.zeros(4, 2)
        comparison = Comparison(self.config.steps)
        for start in range(0, len(split), EVALUATION_BATCH):
            windows = split.windows(range(start, min(start + EVALUATION_BATCH, len(split)))).to(self.device)
            prediction, target, pixel_nats = self._frame_nats(windows)
            others = (target == len(self.world.colors)) & (self.model.inside > 0)
            nats += float(pixel_nats.sum()) + self.others_nats * float(others.sum())
            wrong += float(((self.model.draw(prediction.logits) != target) & (self.model.inside > 0)).sum())
            code += float(prediction.code_nats.sum())
            frames += len(target)
            told = self.model.reward_values[prediction.reward.argmax(1)]
            counts += count_outcomes(told, prediction.end > 0, windows.rewards.flatten(), windows.ends.flatten())
            comparison.add(self.model, windows, split.context)
            on_image(min(start + EVALUATION_BATCH, len(split)))
        bits, code = BITS * nats / frames, BITS * code / frames
        metrics = {"elbo_bits": -bits - code, "log_likelihood_bits": -bits, "code_bits": code}
        return metrics | {"wrong_pixels": wrong / frames} | comparison.metrics() | outcome_metrics(counts)

    def warnings(self, metrics: dict[str, float]) -> list[str]:
        """As `Watched`."""
        return []

    def draw_progress(self, split: SequenceSplit, folder: Path) -> list[Path]:
        """As `Watched`: what happened, a dream under the same actions, and the pixels that differ."""
        return [draw_dream(self.model, self.world, split, folder / "dream.png")]
