"""A recurrent core for sequences that are cut into episodes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class LSTM(nn.Module):
    """Long short-term memory over (T, B, D), reset where a new sequence begins.

    Source: Hochreiter & Schmidhuber 1997; forget gate by Gers et al. 2000. For truncated
    back-propagation through time the caller passes in the detached state of an earlier call.
    """

    def __init__(self, in_features: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(in_features, units)
        self.out_features = units
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("weight"):
                for gate in parameter.chunk(4):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(parameter)

    def start(self, batch: int) -> Tensor:
        """Return the initial state: (2, B, units) zeros, output and cell."""
        return next(self.parameters()).new_zeros(2, batch, self.out_features)

    def forward(self, x: Tensor, first: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (T, B, units) for x (T, B, D), and the state after x[-1].

        first: (T, B) bool, a sequence begins here; state: (2, B, units), before x[0].
        """
        # A call for each span in which no sequence begins: in training nearly always one or two.
        begins = first[1:].any(1).nonzero().flatten().tolist()
        outputs = []
        for a, b in pairwise([0, *(t + 1 for t in begins), len(x)]):
            state = state * ~first[a][None, :, None]
            out, (h, c) = self.lstm(x[a:b], (state[:1].contiguous(), state[1:].contiguous()))
            outputs.append(out)
            state = torch.cat([h, c])
        return torch.cat(outputs), state
