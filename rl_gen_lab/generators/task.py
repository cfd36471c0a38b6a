"""The task of `generate`: its loss, its reconstructions and its metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.generators import latent_space, pictures
from rl_gen_lab.generators.autoencoder import Autoencoder
from rl_gen_lab.generators.bounds import BITS
from rl_gen_lab.generators.config import GenerateConfig
from rl_gen_lab.generators.densities import Factorised, PrincipalComponents
from rl_gen_lab.generators.interfaces import Generator
from rl_gen_lab.generators.likelihoods import GaussianLikelihood, PaletteLikelihood, make_likelihood
from rl_gen_lab.generators.palette import MAX_COLORS, Palette, colors_of
from rl_gen_lab.generators.vae import VariationalAutoencoder
from rl_gen_lab.generators.vq_vae import QuantizedAutoencoder

EVALUATION_BATCH, EVALUATION_SEED = 25, 0
RARE = 0.02  # share of the training images below which a pixel's color is rare
FOUND = 0.5  # share of an object's pixels that must be right for it to be found
LEAST_IMAGES = 2  # whose codes say something of their variance
COLLAPSED_SHARE = 0.1  # of a VAE's numbers in use, below which its posterior has collapsed
PROGRESS_COLUMNS = 8  # images in a row of the figure that is drawn while training
ACTIVE_VARIANCE = (
    0.01  # of a number of the code over the images, above which it is in use (Burda et al. 2016, section 5)
)


class GenerationTask:
    """A generator of frames, judged by what frames cost in bits and by the objects that are still there.

    `elbo_bits` (larger is better) is minus the length of an image in a file, for exact likelihoods; `elbo_nats` of the
    others is a log density, of another unit. Without a distribution over codes (autoencoder) the goal is
    `log_likelihood_bits` or `_nats`, of the pixels alone.
    """

    def __init__(self, config: GenerateConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError; DataError for more colors than a palette has."""
        self.config, self.device, self.categories = config, device, dataset.categories
        images = dataset.splits["train"].images
        self.size: tuple[int, int] = (images.shape[2], images.shape[3])
        colors = dataset.colors if dataset.colors is not None else colors_of(images)
        self.palette = Palette(colors).to(device) if len(colors) <= MAX_COLORS else None
        model = make_generator(config, images, colors, fit=dataset.colors is None)
        self.model = cast(Generator, model.to(device))
        self.exact = self.model.likelihood.exact
        unit = "bits" if self.exact else "nats"
        self.target_metric = f"log_likelihood_{unit}" if config.model == "autoencoder" else f"elbo_{unit}"
        self.run_metadata: dict[str, Any] = {"colors": colors.tolist()}
        self._weights: dict[str, Tensor] = {}
        if config.weighting == "rare" and not isinstance(self.model.likelihood, PaletteLikelihood):
            raise ConfigError("generate.weighting rare counts colors: it needs --generate.likelihood palette")
        train, is_trained = dataset.splits["train"], dataset.colors is None
        self.has_masks = all(
            item.segmentation is not None
            for split in dataset.splits.values()
            for label in split.labels
            for item in label.objects
        )
        if config.weighting == "motion" and is_trained:
            self._weights["motion"] = (train.images != train.previous_frames()).any(1)
        if config.weighting == "objects" and is_trained:
            self._weights["objects"] = torch.stack([train.semantic(i) > 0 for i in range(len(train))])

    @property
    def network(self) -> nn.Module:
        """The generator."""
        assert isinstance(self.model, nn.Module)
        return self.model

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """As `Generator.losses`. indices: (B,) int64."""
        images = split.images[indices].to(self.device)
        return self.model.losses(images, self._pixel_weights(images, indices))

    def _pixel_weights(self, images: Tensor, indices: Tensor) -> Tensor | None:
        """Return the weights of the pixels, (B, H, W), or None before they count."""
        c, updates = self.config, getattr(self.model, "updates", None)
        if c.weighting == "none" or updates is None or int(updates) < c.weight_after_updates:
            return None
        if c.weighting == "rare":
            assert isinstance(self.model.likelihood, PaletteLikelihood)
            chosen = self.model.likelihood.rarity(images) < RARE
        else:
            chosen = self._weights[c.weighting][indices].to(self.device)
        return torch.where(chosen, c.weight, 1.0)

    def predict(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> what is left of them after coding and decoding, (B, 3, H, W) uint8."""
        return self._drawn(self.model.decode(self.model.encode(images.to(self.device)))).cpu()

    @property
    def has_numbers(self) -> bool:
        """Whether codes are of numbers, which can be moved little by little."""
        return self.config.model not in ("vq-vae", "factorised")

    @torch.no_grad()
    def draw(self, codes: Tensor) -> Tensor:
        """Return the likeliest image of each code, (B, 3, H, W) uint8. codes: as of `Generator.encode`."""
        return torch.cat([self._drawn(self.model.decode(part)).cpu() for part in codes.split(EVALUATION_BATCH)])

    def _drawn(self, out: Tensor) -> Tensor:
        """Return the likeliest images, in the colors of the game where there are few."""
        images = self.model.likelihood.likeliest(out)
        return images if self.palette is None else self.palette.nearest(images)

    @torch.no_grad()
    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Measure the bound, its two parts and the reconstructions.

        `wrong_pixels`: per image; `found/CATEGORY`: share of the objects, where they have masks, at least half of whose
        pixels are right; `active_numbers`: of the code; `used_tokens`, `perplexity`: of all tokens of the split.
        """
        draws = torch.Generator(self.device).manual_seed(EVALUATION_SEED)
        log_likelihood, code_length, wrong, codes = [], [], 0.0, []
        found = torch.zeros(len(self.categories), 2)
        for start in range(0, len(split), EVALUATION_BATCH):
            images = split.images[start : start + EVALUATION_BATCH].to(self.device)
            bound = self.model.bound(images, draws)
            log_likelihood.append(bound.log_likelihood)
            code_length.append(bound.code_length)
            codes.append(self.model.encode(images))
            right = (self._drawn(self.model.decode(codes[-1])) == images).all(1).cpu()
            wrong += float((~right).sum())
            for offset, image in enumerate(right):
                found += self._count_found(split, start + offset, image)
            on_image(min(start + EVALUATION_BATCH, len(split)))
        pixels, code = float(torch.cat(log_likelihood).mean()), float(torch.cat(code_length).mean())
        unit, factor = ("bits", BITS) if self.exact else ("nats", 1.0)
        metrics = {f"log_likelihood_{unit}": factor * pixels, f"code_{unit}": factor * code}
        if self.config.model != "autoencoder":
            metrics[f"elbo_{unit}"] = factor * (pixels - code)
        metrics |= {"wrong_pixels": wrong / len(split)} | _code_metrics(torch.cat(codes), self.model)
        shares = found[:, 0] / found[:, 1].clamp_min(1)
        return metrics | {f"found/{name}": float(shares[i]) for i, name in enumerate(self.categories) if found[i, 1]}

    def warnings(self, metrics: dict[str, float]) -> list[str]:
        """As `Watched`: a code whose numbers are hardly used has collapsed."""
        least = COLLAPSED_SHARE * self.config.latents
        if self.config.model != "vae" or metrics.get("active_numbers", least) >= least:
            return []
        used = f"{metrics['active_numbers']:.0f} of {self.config.latents} numbers of the code are in use"
        return [
            f"the posterior has collapsed: {used}; try a smaller --generate.beta or a larger --generate.beta-updates"
        ]

    def draw_progress(self, split: Split, folder: Path) -> list[Path]:
        """As `Watched`: reconstructions, samples, a way between two images and what one number of the code changes."""
        chosen = split.evenly_spaced(PROGRESS_COLUMNS)
        rows, labels = [split.images[chosen], self.predict(split.images[chosen])], ["images", "from their codes"]
        draws = torch.Generator().manual_seed(EVALUATION_SEED)
        if not isinstance(self.model, Autoencoder):
            own = latent_space.draw_codes(self.model, PROGRESS_COLUMNS, "own", None, 1, EVALUATION_SEED)
            rows, labels = [*rows, self.draw(own.to(self.device))], [*labels, "samples"]
        if self.has_numbers:
            codes = self.model.encode(split.images[chosen].to(self.device))
            way = latent_space.between(codes[0], codes[-1], PROGRESS_COLUMNS)
            number = int(torch.randint(codes.shape[1], (), generator=draws))
            values = torch.linspace(-2, 2, PROGRESS_COLUMNS, device=self.device)
            moved = latent_space.traversal(codes[0], number, values)
            rows += [self.draw(way), self.draw(moved)]
            labels += ["from the first image to the last", f"number {number} of the first image from -2 to 2"]
        folder.mkdir(parents=True, exist_ok=True)
        pictures.draw_grid([list(row) for row in rows], labels).save(folder / "progress.png")
        return [folder / "progress.png"]

    def _count_found(self, split: Split, index: int, right: Tensor) -> Tensor:
        """Count the objects of an image that are found, and all, by category: (K, 2). right: (H, W) bool."""
        counts = torch.zeros(len(self.categories), 2)
        if not self.has_masks:
            return counts
        categories = split.boxes(index)[1].tolist()
        for mask, category in zip(split.masks(index), categories, strict=True):
            if mask.any():
                counts[category] += torch.tensor([float(right[mask].float().mean() >= FOUND), 1.0])
        return counts


def _code_metrics(codes: Tensor, model: Generator) -> dict[str, float]:
    """codes: (N, Z) float32 or tokens (N, L) int64, of a split."""
    if isinstance(model, QuantizedAutoencoder):
        shares = torch.bincount(codes.flatten(), minlength=model.quantizer.codes).float() / codes.numel()
        perplexity = float((-(shares * shares.clamp_min(1e-12).log()).sum()).exp())
        return {"used_tokens": float((shares > 0).sum()), "perplexity": perplexity}
    if codes.shape[1] == 0 or len(codes) < LEAST_IMAGES:
        return {}
    return {"active_numbers": float((codes.var(0) > ACTIVE_VARIANCE).sum())}


def make_generator(config: GenerateConfig, images: Tensor, colors: Tensor, fit: bool) -> nn.Module:
    """Make the generator of a configuration, on the CPU.

    images: (N, 3, H, W) uint8 RGB, of training; colors: (K, 3) uint8, theirs; fit: whether to compute principal
    components, which need no training. Raises: ConfigError; DataError.
    """
    if config.model in ("pca", "gmm"):
        likelihood = make_likelihood("gaussian", images)
        assert isinstance(likelihood, GaussianLikelihood)
        components = config.components if config.model == "gmm" else 1
        model = PrincipalComponents(likelihood, config.latents, components)
        return model.fit(images) if fit else model
    pixels = make_likelihood(config.likelihood, images, Palette(colors) if config.likelihood == "palette" else None)
    if config.model == "factorised":
        return Factorised(pixels, (images.shape[2], images.shape[3]))
    models = {"autoencoder": Autoencoder, "vae": VariationalAutoencoder, "vq-vae": QuantizedAutoencoder}
    learned: nn.Module = models[config.model](config, images, pixels)
    return learned
