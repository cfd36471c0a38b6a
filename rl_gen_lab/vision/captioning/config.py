"""Settings of captioning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.vision.smoothing import check_smoothing


@dataclass(frozen=True)
class CaptionConfig:
    """Captions."""

    # attention: a weighted mean over positions, new for each word; plain: the mean over all positions.
    model: Literal["attention", "plain"] = "attention"
    # Network under the model, such as resnet, densenet, impala: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=3, depth=1, norm="batch"))
    # Units of the LSTM; embeddings of words and attention have half as many.
    units: int = 128
    # Weight of the doubly stochastic regularizer: over a sentence, each position should get about equal attention.
    # Small, because sharp attention costs about 10 of it: with 0.1 fewer facts were right for Breakout.
    look_everywhere: float = 0.001
    # Words that the LSTM's gradient reaches back (truncated back-propagation through time); 0: the whole sentence.
    bptt_words: int = 0
    # Probability mass of the label that is spread over all words in the loss.
    label_smoothing: float = 0.0
    # Width of the beam search; 1: greedy decoding.
    beam: int = 1
    # Beams are ranked by log-probability / words ^ length_power; 0 favors short sentences.
    length_power: float = 0.7

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)
        if self.beam < 1 or self.units < 2 or min(self.look_everywhere, self.length_power, self.bptt_words) < 0:
            raise ConfigError("beam must be at least 1, units 2, look_everywhere, length_power and bptt_words 0")
