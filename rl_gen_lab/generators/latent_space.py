"""The codes of a generator: what each number stands for, ways between codes, codes to begin with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.generators.densities import Factorised, PrincipalComponents
from rl_gen_lab.generators.interfaces import Generator
from rl_gen_lab.generators.mixture import GaussianMixture
from rl_gen_lab.generators.vae import VariationalAutoencoder
from rl_gen_lab.generators.vq_vae import QuantizedAutoencoder

BATCH = 25


@torch.no_grad()
def encode_all(model: Generator, images: Tensor, on_image: Callable[[int], None] = lambda done: None) -> Tensor:
    """Return the codes of images (N, 3, H, W) uint8, as `Generator.encode`."""
    codes = []
    for part in images.split(BATCH):
        codes.append(model.encode(part))
        on_image(min(len(codes) * BATCH, len(images)))
    return torch.cat(codes)


@torch.no_grad()
def draw_codes(
    model: Generator, count: int, prior: str, train_codes: Callable[[], Tensor] | None, components: int, seed: int
) -> Tensor:
    """Draw codes. prior: "own", the model's; "mixture": Gaussians fitted to the codes of the training images,
    which train_codes returns.

    Raises: ConfigError for a model without such a prior.
    """
    draws = torch.Generator().manual_seed(seed)
    if prior == "own":
        if isinstance(model, VariationalAutoencoder):
            return torch.randn(count, model.config.latents, generator=draws)
        if isinstance(model, QuantizedAutoencoder):
            return model.sample_tokens(count, draws)
        if isinstance(model, PrincipalComponents):
            return model.mixture.sample(count, draws)
        if isinstance(model, Factorised):
            return torch.zeros(count, 0)
        raise ConfigError("this generator has no distribution over codes of its own: use --prior mixture")
    assert train_codes is not None
    codes = train_codes()
    if not codes.is_floating_point() or not codes.shape[1]:
        raise ConfigError("a mixture of Gaussians is for codes of numbers: use --prior own")
    if components >= len(codes):
        raise ConfigError(f"{len(codes)} training images are too few for {components} components: use fewer")
    return GaussianMixture(components, codes.shape[1]).fit(codes, draws).sample(count, draws)


def factors(split: Split) -> dict[str, Tensor]:
    """Return the true numbers of the images that vary, each (N,) float32 with NaN where it has no value.

    Velocities are left out: a single frame does not show them.
    """
    names = sorted({name for label in split.labels for name in label.slots if not name.endswith("_velocity")})
    values = {
        name: torch.tensor([float("nan") if (v := label.slots.get(name)) is None else v for label in split.labels])
        for name in names
    }
    return {name: value for name, value in values.items() if len(value[value.isfinite()].unique()) > 1}


def dependence(codes: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """Return the squared correlation of each factor with each number of the code, (F, Z) in [0, 1]."""
    rows = []
    for value in truth.values():
        known = value.isfinite()
        x, y = codes[known] - codes[known].mean(0), value[known] - value[known].mean()
        covariance = (x * y[:, None]).mean(0)
        rows.append(covariance.square() / (x.square().mean(0) * y.square().mean()).clamp_min(1e-12))
    return torch.stack(rows) if rows else torch.zeros(0, codes.shape[1])


def between(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Return codes from one (Z,) to another at equal distances, (steps, Z)."""
    return torch.lerp(first, last, torch.linspace(0, 1, steps)[:, None])


def traversal(code: Tensor, number: int, values: Tensor) -> Tensor:
    """Return a code (Z,) with one of its numbers replaced by each of the values (V,): (V, Z)."""
    codes = code.repeat(len(values), 1)
    codes[:, number] = values
    return codes


def plane(codes: Tensor) -> Tensor:
    """Return the two principal components of codes (N, Z) with Z >= 2: (N, 2), each of variance 1.

    Raises: CheckpointError for codes that are not finite.
    """
    centered = codes - codes.mean(0)
    if not bool(centered.isfinite().all()):  # of finite weights whose products are not
        raise CheckpointError("the codes of this generator are not finite: its weights are damaged")
    _, _, directions = torch.linalg.svd(centered, full_matrices=False)
    flat = centered @ directions[:2].T
    return flat / flat.std(0).clamp_min(1e-6)
