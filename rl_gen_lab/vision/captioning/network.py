"""The network of the captioner: an LSTM that attends to positions of a feature map for each word."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.data.vocabulary import PADDING

State = tuple[Tensor, Tensor]  # of the LSTM: hidden and cell, (B, units) each
# Of P positions: features (B, P, D), and the keys that attention compares with the state, (B, P, units / 2).
Encoding = tuple[Tensor, Tensor]


class Captioner(nn.Module):
    """The backbone's last map, with the coordinates of its positions, into an LSTM through soft attention.

    Source: Xu et al. 2015, "Show, Attend and Tell", sections 3.1 and 4.2 (the gate of section 4.2.1 included).
    """

    places: Tensor
    # Attention compares keys with the state unit by unit: each of several processes can take some of the units.
    unit_pairs = ((("by_feature", "by_state"), "score"),)

    def __init__(self, backbone: Convolutional, words: int, units: int, attention: bool) -> None:
        """attention: False weights all positions equally."""
        super().__init__()
        self.backbone, self.uses_attention = backbone, attention
        last = backbone.feature_maps[-1]
        features, half = last.channels + 2, units // 2
        y, x = torch.linspace(-1, 1, last.height), torch.linspace(-1, 1, last.width)
        self.register_buffer("places", torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2))
        self.embed = nn.Embedding(words, half, padding_idx=PADDING)
        self.start = nn.Linear(features, 2 * units)
        self.by_feature, self.by_state = nn.Linear(features, half), nn.Linear(units, half)
        self.score, self.gate = nn.Linear(half, 1), nn.Linear(units, features)
        self.lstm = nn.LSTMCell(half + features, units)
        self.head = nn.Linear(units + features + half, words)

    def encode(self, images: Tensor) -> tuple[Encoding, State]:
        """images: (B, C, H, W) uint8 -> features and keys of the positions, and the LSTM's first state."""
        features = self.backbone.maps(images)[-1].flatten(2).transpose(1, 2)
        features = torch.cat((features, self.places.expand(len(images), -1, -1)), -1)
        hidden, cell = self.start(features.mean(1)).chunk(2, -1)
        return (features, self.by_feature(features)), (hidden.tanh(), cell.tanh())

    def step(self, words: Tensor, encoding: Encoding, state: State) -> tuple[Tensor, Tensor, State]:
        """words: (B,) int64 -> logits (B, V) of the next word, attention (B, P), the new state.

        A word below `PADDING` (`data.vocabulary.UNKNOWN`) is embedded as padding is: by zeros.
        """
        features, keys = encoding
        if self.uses_attention:
            energy = self.score((keys + self.by_state(state[0])[:, None]).tanh())
            attention = energy[..., 0].softmax(-1)
        else:
            attention = torch.full_like(features[..., 0], 1 / features.shape[1])
        context = self.gate(state[0]).sigmoid() * torch.bmm(attention[:, None].to(features.dtype), features)[:, 0]
        word = self.embed(words.clamp(min=PADDING))
        hidden, cell = self.lstm(torch.cat((word, context), -1), state)
        return self.head(torch.cat((hidden, context, word), -1)), attention, (hidden, cell)

    def forward(self, images: Tensor, words: Tensor, bptt_words: int = 0) -> tuple[Tensor, Tensor]:
        """Teacher forcing. words: (B, L) int64 -> logits (B, L - 1, V) of the next words, attention (B, L - 1, P).

        bptt_words: the state is passed on without its gradient after this many words; 0: never.
        """
        encoding, state = self.encode(images)
        logits, attention = [], []
        for i, column in enumerate(words[:, :-1].unbind(1)):
            if i and bptt_words and i % bptt_words == 0:
                state = (state[0].detach(), state[1].detach())
            scores, weights, state = self.step(column, encoding, state)
            logits.append(scores)
            attention.append(weights)
        return torch.stack(logits, 1), torch.stack(attention, 1)
