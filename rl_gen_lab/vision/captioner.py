"""A sentence about a frame: an LSTM writes it word by word and looks, softly, at one place or another for each word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones import build_maps
from rl_gen_lab.backbones.choices import Choices
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.data import Dataset, Split
from rl_gen_lab.sentences import facts_in, vocabulary

EVALUATION_BATCH = 16
LONGEST = 60  # words of a caption that never ends


@dataclass(frozen=True)
class CaptionConfig:
    """Captions."""

    # attention: a weighted mean over positions, chosen for every word; plain: the mean over all positions.
    model: Literal["attention", "plain"] = "attention"
    backbone: str = "resnet"
    choices: Choices = field(default_factory=lambda: Choices(width=16, stages=3, depth=1, norm="batch"))
    # Units of the LSTM; embeddings of words and attention have half as many.
    units: int = 128
    # Weight of the regulariser that asks every position to be looked at about once in a sentence.
    look_everywhere: float = 0.1


class Captioner(nn.Module):
    """Features of the backbone's last map, with their coordinates, into an LSTM through soft attention.

    Source: Xu et al. 2015, "Show, Attend and Tell", sections 3.1 and 4.2 (the gate of section 4.2.1 included).
    """

    places: Tensor

    def __init__(self, backbone: Convolutional, words: int, units: int, attention: bool) -> None:
        super().__init__()
        self.backbone, self.attention = backbone, attention
        last = backbone.feature_maps[-1]
        features, half = last.channels + 2, units // 2
        y, x = torch.linspace(-1, 1, last.height), torch.linspace(-1, 1, last.width)
        self.register_buffer("places", torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2))
        self.embed = nn.Embedding(words, half, padding_idx=0)
        self.start = nn.Linear(features, 2 * units)
        self.by_feature, self.by_state = nn.Linear(features, half), nn.Linear(units, half)
        self.score, self.gate = nn.Linear(half, 1), nn.Linear(units, features)
        self.lstm = nn.LSTMCell(half + features, units)
        self.head = nn.Linear(units + features + half, words)

    def look(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """images: (B, C, H, W) uint8 -> features (B, P, D) of P positions, and the LSTM's first state."""
        found = self.backbone.maps(images)[-1].flatten(2).transpose(1, 2)
        found = torch.cat((found, self.places.expand(len(images), -1, -1)), -1)
        hidden, cell = self.start(found.mean(1)).chunk(2, -1)
        return found, (hidden.tanh(), cell.tanh())

    def step(
        self, words: Tensor, features: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """words: (B,) int64 -> logits (B, V) of the next word, where it looked (B, P), the new state."""
        if self.attention:
            energy = self.score((self.by_feature(features) + self.by_state(state[0])[:, None]).tanh())
            weights = energy[..., 0].softmax(-1)
        else:
            weights = torch.full_like(features[..., 0], 1 / features.shape[1])
        context = self.gate(state[0]).sigmoid() * (weights[..., None] * features).sum(1)
        word = self.embed(words)
        hidden, cell = self.lstm(torch.cat((word, context), -1), state)
        return self.head(torch.cat((hidden, context, word), -1)), weights, (hidden, cell)

    def forward(self, images: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing. words: (B, L) int64 -> logits (B, L - 1, V) of the words after, weights (B, L - 1, P)."""
        features, state = self.look(images)
        logits, looks = [], []
        for column in words[:, :-1].unbind(1):
            scores, weights, state = self.step(column, features, state)
            logits.append(scores)
            looks.append(weights)
        return torch.stack(logits, 1), torch.stack(looks, 1)

    def write(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Free-running, the likeliest word each time -> words (B, L) int64 after the beginning, weights (B, L, P)."""
        features, state = self.look(images)
        word = torch.ones(len(images), dtype=torch.int64, device=images.device)
        ended = torch.zeros_like(word, dtype=torch.bool)
        words: list[Tensor] = []
        looks: list[Tensor] = []
        while len(words) < LONGEST and not bool(ended.all()):
            scores, weights, state = self.step(word, features, state)
            word = scores.argmax(-1)
            ended |= word == 2
            words.append(word)
            looks.append(weights)
        return torch.stack(words, 1), torch.stack(looks, 1)


class Caption:
    """The task. One of an image's captions, drawn anew each time, is what it should say."""

    goal = "slot_accuracy"

    def __init__(self, config: CaptionConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: DataError for a folder without captions or with words that training never shows; ConfigError."""
        self.config, self.device, self.grammar = config, device, dataset.grammar
        self.vocabulary = vocabulary(dataset)
        if not dataset.grammar:
            self.goal = "exact_match"  # somebody's own sentences have no facts that could be read from them
        backbone = build_maps(config.backbone, tuple(dataset.splits["train"].images.shape[1:]), config.choices)
        backbone.normalise(dataset.mean, dataset.std)
        self.network = Captioner(backbone, len(self.vocabulary), config.units, config.model == "attention").to(device)

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Cross-entropy [nats a word], the mean over words, plus the regulariser (Xu et al. 2015, equation 14)."""
        chosen = []
        for index in indices.tolist():
            captions = split.labels[index].captions
            caption = captions[int(torch.randint(len(captions), ()))]
            chosen.append(torch.tensor(self.vocabulary.encode(caption)))
        words = nn.utils.rnn.pad_sequence(chosen, batch_first=True).to(self.device)
        logits, looks = self.network(split.images[indices].to(self.device), words)
        spoken = words[:, 1:] > 0
        entropy = F.cross_entropy(logits.float().transpose(1, 2), words[:, 1:], ignore_index=0)
        seen = (looks.float() * spoken[..., None]).sum(1) * looks.shape[2] / spoken.sum(1, keepdim=True)
        uneven = (1 - seen).square().mean()
        weight = self.config.look_everywhere if self.config.model == "attention" else 0.0
        return {"loss": entropy + weight * uneven, "entropy": entropy.detach(), "uneven": uneven.detach()}

    def predict(self, images: Tensor) -> list[str]:
        """Sentences about images (B, C, H, W) uint8."""
        words, _ = self.network.write(images.to(self.device))
        return [self.vocabulary.decode(row) for row in words.tolist()]

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Free-running: share of facts told rightly, of sentences without a wrong or missing fact, of exact matches."""
        right = facts = whole = exact = 0
        for start in range(0, len(split), EVALUATION_BATCH):
            said = self.predict(split.images[start : start + EVALUATION_BATCH])
            for sentence, label in zip(said, split.labels[start : start + EVALUATION_BATCH], strict=True):
                told = facts_in(sentence, self.grammar)
                true = sum(told.get(fact) == value for fact, value in label.facts.items())
                right, facts = right + true, facts + len(label.facts)
                whole += told == label.facts
                exact += sentence in [caption.lower() for caption in label.captions]
            on_image(min(start + EVALUATION_BATCH, len(split)))
        found = {"exact_match": exact / len(split)}
        return found | ({"slot_accuracy": right / facts, "all_slots": whole / len(split)} if facts else {})
