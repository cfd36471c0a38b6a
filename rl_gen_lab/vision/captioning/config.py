"""Settings of captioning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.settings import Exponent, NotNegative, Ranged, Share

Beam = Annotated[int, Interval(ge=1, le=100)]


@dataclass(frozen=True)
class CaptionConfig(Ranged):
    """Captions."""

    USED_BY: ClassVar = {"look_everywhere": ("attention",)}

    # attention: a weighted mean over positions, new for each word; plain: the mean over all positions.
    model: Literal["attention", "plain"] = "attention"
    # Network under the model, such as resnet, densenet, impala: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=3, depth=1, norm="batch"))
    # Units of the LSTM; embeddings of words and attention have half as many.
    units: Annotated[int, Interval(ge=2, le=65_536)] = 128
    # Weight of the doubly stochastic regularizer: over a sentence, each position should get about equal attention.
    # Small, because sharp attention costs about 10 of it: with 0.1 fewer facts were right for Breakout.
    look_everywhere: NotNegative = 0.001
    # Words that the LSTM's gradient reaches back (truncated back-propagation through time); 0: the whole sentence.
    bptt_words: Annotated[int, Interval(ge=0, le=10_000)] = 0
    # Probability mass of the label that is spread over all words in the loss.
    label_smoothing: Share = 0.0
    # Width of the beam search; 1: greedy decoding.
    beam: Beam = 1
    # Beams are ranked by log-probability / words ^ length_power; 0 favors short sentences.
    length_power: Exponent = 0.7
