"""Settings of the search for a frame: what excites a unit, a dream, what a layer keeps of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from rl_gen_lab.cli.settings import Few, NotNegative, Positive, Ranged, Share


@dataclass(frozen=True)
class SearchConfig(Ranged):
    """How a frame is searched for."""

    # A layer by its name (none: maximize: the outputs; dream: the last convolution; invert: each layer).
    layer: str | None = None
    # maximize: channels of the layer, or numbers of actions or categories (none: the first four).
    units: tuple[Annotated[int, Interval(ge=0, le=100_000)], ...] = ()
    # maximize: the neuron in the middle of a channel, instead of the mean over all places.
    single: bool = False
    # maximize: begin at the mean frame, which shows nothing, or at noise around it.
    start: Literal["mean", "noise"] = "mean"
    # maximize: search among pixels, few and strong, or among waves, long ones first.
    parametrization: Literal["pixels", "fourier"] = "pixels"
    # maximize: how far from the mean frame, in multiples of real frames (sum of the absolute differences).
    budget: Positive = 1.0
    # Steps of the search; of a dream, in each octave.
    steps: Few = 120
    # maximize, dream: step of the search [gray levels].
    rate: Positive = 6.0
    # maximize, dream: pixels by which the frame is shifted at random in each step, so that no pixel alone counts.
    jitter: Annotated[int, Interval(ge=0, le=64)] = 1
    # maximize: blur what has been found in every tenth step, with this standard deviation [pixels]; 0: never.
    blur: Annotated[float, Interval(ge=0, le=10)] = 0.5
    # maximize: weight of the squared distance from the mean frame.
    l2: NotNegative = 0.0
    # maximize, invert: weight of total variation.
    variation: NotNegative = 0.2
    # maximize: weight of the changes from frame to frame of a stack.
    time: NotNegative = 0.2
    # dream: sizes of the frame, each larger than the one before.
    octaves: Annotated[int, Interval(ge=1, le=8)] = 3
    # dream: by this factor.
    octave_scale: Annotated[float, Interval(gt=1, le=3)] = 1.4
    # invert: share of the mean frame's error that the search may begin with, as noise.
    noise: Share = 0.1
