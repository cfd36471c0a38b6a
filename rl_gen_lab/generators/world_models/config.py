"""Settings of the models of a world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Count, NotNegative, OptionalSteps, Ranged, ShareBelowOne, Size


@dataclass(frozen=True)
class DreamConfig(Ranged):
    """Models of a world: the next frame, the reward and the end of the game."""

    USED_BY: ClassVar = {
        "context": ("pixels",),
        "width": ("pixels",),
        "codes": ("pixels",),
        "code_values": ("pixels",),
        "changed_weight": ("pixels",),
        "changed_weight_updates": ("pixels",),
        "plain_updates": ("pixels",),
        "own_frames": ("pixels",),
        "generator": ("latent",),
        "components": ("latent",),
    }

    # pixels: the next frame, color by color; latent: the next code of a generator, which costs next to nothing.
    model: Literal["pixels", "latent"] = "pixels"
    # Run of `generate` whose codes are foretold: a vae or a vq-vae.
    generator: Path | None = None
    # Gaussians of a mixture, for the codes of a vae.
    components: Count = 5
    # Frames that the next one is made from, beside the memory.
    context: Annotated[int, Interval(ge=1, le=16)] = 3
    # Steps of a window of play in training.
    steps: Annotated[int, Interval(ge=1, le=1_000)] = 16
    # Channels of the finest level; the coarsest has four times as many.
    width: Size = 32
    # Numbers of the recurrent memory.
    memory: Size = 256
    # Discrete codes of a step, for what cannot be foreseen, and the values of each; 0: none.
    codes: Annotated[int, Interval(ge=0, le=64)] = 4
    code_values: Annotated[int, Interval(ge=2, le=4_096)] = 32
    # Times that pixels count in the loss which differ from the frame before; it falls to 1 in so many updates.
    changed_weight: Annotated[float, Interval(ge=1, le=10**6)] = 10.0
    changed_weight_updates: OptionalSteps = 6_000
    # Weight of reward and end in the loss, beside the sum over pixels.
    outcome_weight: NotNegative = 10.0
    # Share of the pixels (of the coordinates of a code) in training that are random, so that errors do not grow.
    noise: ShareBelowOne = 0.0005
    # Share of the updates in which the frames are the model's own, each predicted from true ones.
    own_frames: ShareBelowOne = 0.5
    # Updates before noise, weights and own frames begin.
    plain_updates: OptionalSteps = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model == "latent" and self.generator is None:
            raise ConfigError("--dream.model latent needs --dream.generator RUN, a run of generate (vae or vq-vae)")
