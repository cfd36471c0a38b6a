"""Settings of the generators of frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Count, NotNegative, OptionalSteps, Positive, Ranged, Size

Level = Annotated[int, Interval(ge=3, le=64)]  # of two, nearly all vectors would get the same
MAX_CODES = 65_536  # values of a token
LEARNED = ("vae", "autoencoder", "vq-vae")


def _resnet() -> BackboneConfig:
    return BackboneConfig(width=16, stages=4, depth=1, first_stride=4, norm="group")


@dataclass(frozen=True)
class GenerateConfig(Ranged):
    """Generators of frames: what an image is made of, learned without labels."""

    USED_BY: ClassVar = {
        "backbone": LEARNED,
        "choices": LEARNED,
        "decoder": LEARNED,
        "width": LEARNED,
        "latents": ("vae", "autoencoder", "pca", "gmm"),
        "beta": ("vae",),
        "beta_updates": ("vae",),
        "free_bits": ("vae",),
        "importance_samples": ("vae",),
        "weighting": LEARNED,
        "weight": LEARNED,
        "weight_after_updates": LEARNED,
        "quantizer": ("vq-vae",),
        "levels": ("vq-vae",),
        "codes": ("vq-vae",),
        "commitment": ("vq-vae",),
        "components": ("gmm",),
        "likelihood": (*LEARNED, "factorised"),
    }

    # autoencoder: a code of numbers; vae: with a distribution over codes; vq-vae: a code of whole numbers (tokens);
    # pca: the linear baseline; gmm: a mixture of Gaussians on its numbers; factorised: every pixel by itself.
    model: Literal["autoencoder", "vae", "vq-vae", "pca", "gmm", "factorised"] = "vae"
    # Distribution of a pixel. palette: over the colors of the game; logistic: over the 256 values of red, green and
    # blue; gaussian: a density with a learned variance; unit_gaussian: squared error; bernoulli: cross-entropy.
    likelihood: Literal["palette", "logistic", "gaussian", "unit_gaussian", "bernoulli"] = "palette"
    # Numbers of a code.
    latents: Size = 32
    # Encoder; its last map is read position by position.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=_resnet)
    # upsample: pixel shuffles; transposed: transposed convolutions; broadcast: the code at every position.
    decoder: Literal["upsample", "transposed", "broadcast"] = "upsample"
    # Channels of the decoder's first layer.
    width: Size = 64
    # Weight of the code's length in the loss, reached linearly after beta_updates.
    beta: NotNegative = 1.0
    beta_updates: OptionalSteps = 2_000
    # Length of each number of a code that costs nothing in the loss [bits].
    free_bits: NotNegative = 0.0
    # Codes drawn for an image in training. More than 1 tightens the bound (Burda et al. 2016, "IWAE"); in it the code
    # counts in full from the first update on.
    importance_samples: Annotated[int, Interval(ge=1, le=1_000)] = 1
    # Pixels that count `weight` times in the loss. rare: whose color this pixel has in fewer than 2 % of the training
    # images; motion: that differ from the previous frame (folders written with --history); objects: of the labels.
    weighting: Literal["none", "rare", "motion", "objects"] = "none"
    weight: Positive = 10.0
    # Updates before the weights count; from the first update on they make codes collapse.
    weight_after_updates: OptionalSteps = 1_000
    # Codes as whole numbers: vq, the nearest of learned vectors; fsq, rounded coordinates.
    quantizer: Literal["vq", "fsq"] = "fsq"
    # fsq: levels of each coordinate of a token.
    levels: tuple[Level, ...] = (8, 5, 5, 5)
    # vq: vectors of the codebook.
    codes: Annotated[int, Interval(ge=2, le=MAX_CODES)] = 512
    # vq: weight of the encoder's distance from the chosen vectors.
    commitment: NotNegative = 0.25
    # Gaussians of a mixture.
    components: Count = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.importance_samples > 1 and (self.beta != 1.0 or self.free_bits):
            raise ConfigError(
                "importance_samples above 1: the code has no weight in that bound; leave out beta, free_bits"
            )
        product = 1
        for level in self.levels:
            product *= level
        if not self.levels or product > MAX_CODES:
            raise ConfigError(f"levels {self.levels} give {product:,} values of a token, at most {MAX_CODES:,}")
