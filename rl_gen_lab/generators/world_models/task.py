"""The task of `dream`: the loss of a window of play, and its metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.generators.bounds import BITS
from rl_gen_lab.generators.pictures import differences, draw_grid
from rl_gen_lab.generators.world_models import starts
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.generators.world_models.interfaces import World, painted
from rl_gen_lab.generators.world_models.patches import to_patches
from rl_gen_lab.generators.world_models.pixels import PixelDream, Prediction
from rl_gen_lab.generators.world_models.recording import Recording
from rl_gen_lab.generators.world_models.sequences import SequenceSplit, Windows

EVALUATION_BATCH, EVALUATION_SEED = 4, 0
SHOWN = 3  # true steps before a dream of the validation begins
OUTCOMES = {"rewards_found": 1, "ends_found": 1, "false_rewards": 1_000, "false_ends": 1_000}
HORIZONS = (1, 5, 10)  # steps after which dreams are compared with what happened


def make_world_model(config: DreamConfig, world: World, frequencies: Tensor) -> PixelDream:
    """Make the model of a configuration. frequencies: as of `Recording`."""
    return PixelDream(config, world, frequencies)


class DreamTask:
    """A model of a world, judged by what the next frame costs in bits and by dreams beside what happened."""

    target_metric = "elbo_bits"

    def __init__(self, config: DreamConfig, data: Recording, device: torch.device) -> None:
        self.config, self.device, self.world = config, device, data.world
        self.model = make_world_model(config, data.world, data.frequencies).to(device)
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
        outcome, code = self._outcome_nats(prediction, windows), prediction.code_nats.mean()
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
                drawn = self.model.drawn(self.model(seen, executed, following=target)[0].logits)
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

    def _outcome_nats(self, prediction: Prediction, windows: Windows) -> Tensor:
        kind = torch.searchsorted(self.model.reward_values, windows.rewards.flatten())
        ends = windows.ends.flatten().float()
        kind = kind.clamp_max(len(self.model.reward_values) - 1)  # of val and test: never seen in training
        return F.cross_entropy(prediction.reward, kind) + F.binary_cross_entropy_with_logits(prediction.end, ends)

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
        nats, code, wrong, frames = 0.0, 0.0, 0.0, 0
        dreamed = {horizon: 0.0 for horizon in self._horizons()}
        counts = torch.zeros(4, 2)
        for start in range(0, len(split), EVALUATION_BATCH):
            windows = split.windows(range(start, min(start + EVALUATION_BATCH, len(split)))).to(self.device)
            prediction, target, pixel_nats = self._frame_nats(windows)
            others = (target == len(self.world.colors)) & (self.model.inside > 0)
            nats += float(pixel_nats.sum()) + self.others_nats * float(others.sum())
            wrong += float(((self.model.drawn(prediction.logits) != target) & (self.model.inside > 0)).sum())
            code += float(prediction.code_nats.sum())
            frames += len(target)
            counts += self._outcomes(prediction, windows).cpu()
            for horizon, image in self._dream(windows, max(dreamed, default=0)).items():
                if horizon in dreamed:
                    dreamed[horizon] += float((image != windows.frames[:, -1 - self._left(horizon)]).sum())
            on_image(min(start + EVALUATION_BATCH, len(split)))
        bits, code = BITS * nats / frames, BITS * code / frames
        metrics = {
            "elbo_bits": -bits - code,
            "log_likelihood_bits": -bits,
            "code_bits": code,
            "wrong_pixels": wrong / frames,
        }
        metrics |= {f"wrong_pixels/{horizon}": total / len(split) for horizon, total in dreamed.items()}
        for (name, factor), (part, whole) in zip(OUTCOMES.items(), counts.tolist(), strict=True):
            if whole:
                metrics[name] = factor * part / whole
        return metrics

    def _horizons(self) -> list[int]:
        return [horizon for horizon in HORIZONS if horizon <= self.config.steps - SHOWN]

    def _left(self, horizon: int) -> int:
        """Return the steps of a window after a dream of so many."""
        return self.config.steps - SHOWN - horizon

    def _dream(self, windows: Windows, steps: int) -> dict[int, Tensor]:
        """Go on from a few true steps under the recorded actions; return the frame after each number of steps."""
        context = self.config.context
        state = self.model.begin(windows.frames[:, : context + SHOWN], windows.executed[:, :SHOWN])
        shown = {}
        for step in range(steps):
            state, imagined = self.model.imagine(state, windows.executed[:, SHOWN + step])
            shown[step + 1] = imagined.frames
        return shown

    def _outcomes(self, prediction: Prediction, windows: Windows) -> Tensor:
        """Count rewards and ends that are told, and false ones: (4, 2), each with the number of chances."""
        rewards, ends = windows.rewards.flatten(), windows.ends.flatten()
        told = self.model.reward_values[prediction.reward.argmax(1)]
        is_end, some = prediction.end > 0, rewards != 0
        pairs = [
            ((told == rewards) & some, some),
            (is_end & ends, ends),
            ((told != 0) & ~some, ~some),
            (is_end & ~ends, ~ends),
        ]
        return torch.tensor([[float(part.sum()), float(whole.sum())] for part, whole in pairs])

    def warnings(self, metrics: dict[str, float]) -> list[str]:
        """As `Watched`."""
        return []

    def draw_progress(self, split: SequenceSplit, folder: Path) -> list[Path]:
        """As `Watched`: what happened, a dream under the same actions, and the pixels that differ."""
        file = folder / "dream.png"
        folder.mkdir(parents=True, exist_ok=True)
        windows = split.windows(split.evenly_spaced(1)).to(self.device)
        steps = self.config.steps - SHOWN
        dreamed = self._dream(windows, steps)
        chosen = sorted({1, *(round(steps * share / 7) for share in range(1, 8))} & set(dreamed))
        true = [self._painted(windows.frames[:, -1 - self._left(step)]) for step in chosen]
        images = [self._painted(dreamed[step]) for step in chosen]
        rows = [true, images, [differences(a[None], b[None])[0] for a, b in zip(true, images, strict=True)]]
        labels = (f"what happened after {', '.join(map(str, chosen))} steps", "the dream", "pixels that differ")
        draw_grid(rows, labels).save(file)
        return [file]

    def _painted(self, frames: Tensor) -> Tensor:
        """frames: (1, H, W) uint8 -> (3, H, W) uint8 RGB."""
        return painted(frames, self.world.colors)[0].cpu()
