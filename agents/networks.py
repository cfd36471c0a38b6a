"""Heads on a backbone. An agent's network is backbone + head; nothing here knows an algorithm."""

from __future__ import annotations

from torch import Tensor, nn

from rl_gen_lab.backbones import build
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.errors import CheckpointError


class QNetwork(nn.Module):
    """Action values on a backbone.

    dueling: the value and the advantage get a head each, joined as V + A - mean(A).
    Source: Wang et al. 2016, "Dueling network architectures", eq. 9.
    """

    def __init__(self, backbone: str, shape: tuple[int, ...], num_actions: int, dueling: bool) -> None:
        super().__init__()
        self.backbone = build(backbone, shape)
        features = self.backbone.out_features
        assert isinstance(features, int)
        self.advantage = nn.Linear(features, num_actions)
        self.value = nn.Linear(features, 1) if dueling else None

    def standardise(self, frames: Tensor) -> None:
        """Standardise the input by frames (M, c, H, W) uint8. For convolutional backbones."""
        assert isinstance(self.backbone, Convolutional)
        self.backbone.standardise(frames)

    def forward(self, obs: Tensor) -> Tensor:
        """obs: (B, C, H, W) uint8 or (B, D) float32 -> (B, A) float32 action values."""
        features = self.backbone(obs)
        q: Tensor = self.advantage(features)
        if self.value is not None:
            q = q - q.mean(1, keepdim=True) + self.value(features)
        return q.float()


def load_network(network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load saved weights. Raises: CheckpointError naming the layers that do not fit."""
    own = network.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys())
    wrong += [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if wrong:
        raise CheckpointError(f"weights of {source} do not fit this network: {', '.join(wrong)}")
    network.load_state_dict(tensors)
