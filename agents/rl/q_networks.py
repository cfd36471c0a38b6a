"""Q-networks: action values on a backbone, the mean of several that learn side by side, and of an agent's past ones."""

from __future__ import annotations

import copy
import sys
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import ConfigError


class QNetwork(nn.Module):
    """Action values on a backbone.

    dueling: the state value and the advantages get a head each, joined as V + A - mean(A).
    Source: Wang et al. 2016, "Dueling network architectures", eq. 9.
    """

    def __init__(self, backbone: str, shape: tuple[int, ...], num_actions: int, dueling: bool) -> None:
        """shape: of one observation, (C, H, W) for pixels or (D,). Raises: ConfigError for an unknown backbone."""
        super().__init__()
        self.backbone = build(backbone, shape)
        features = self.backbone.out_features
        assert isinstance(features, int)
        self.advantage = nn.Linear(features, num_actions)
        self.value = nn.Linear(features, 1) if dueling else None

    @property
    def newest(self) -> QNetwork:
        """The network that learns (as `QEnsemble.newest`): this one."""
        return self

    @property
    def members(self) -> list[QNetwork]:
        """The networks whose values are averaged (as `MeanQNetwork.members`): this one."""
        return [self]

    def standardize(self, frames: Tensor) -> None:
        """Standardize the input by frames (M, c, H, W) uint8. For convolutional backbones."""
        cast(Any, self.backbone).standardize(frames)

    def forward(self, obs: Tensor) -> Tensor:
        """obs: (B, C, H, W) uint8 or (B, D) float32 -> (B, A) float32 action values."""
        features = self.backbone(obs)
        q: Tensor = self.advantage(features)
        if self.value is not None:
            q = q - q.mean(1, keepdim=True) + self.value(features)
        return q.float()


class MeanQNetwork(nn.Module):
    """The mean of Q-networks that learn side by side from one memory: their errors cancel in the targets and in play.

    Source: Liang et al. 2022, "Reducing variance in temporal-difference value estimation via ensemble of deep
    networks", eq. 5 (MeanQ).
    """

    def __init__(self, networks: list[QNetwork]) -> None:
        """networks: initialized apart, for the same observations and actions."""
        super().__init__()
        self.networks = nn.ModuleList(networks)

    @property
    def newest(self) -> MeanQNetwork:
        """The networks that learn (as `QEnsemble.newest`): these."""
        return self

    @property
    def members(self) -> list[QNetwork]:
        """The networks whose values are averaged."""
        return [cast(QNetwork, network) for network in self.networks]

    def standardize(self, frames: Tensor) -> None:
        """As `QNetwork.standardize`, of each network."""
        for network in self.members:
            network.standardize(frames)

    def forward(self, obs: Tensor) -> Tensor:
        """obs: (B, C, H, W) uint8 or (B, D) float32 -> (B, A) float32, the mean over the networks."""
        return torch.stack([network(obs) for network in self.networks]).mean(0)


Learners = QNetwork | MeanQNetwork


class QSettings(Protocol):
    """The settings of Q-networks, those of `agents.dqn.Config`."""

    @property
    def backbone(self) -> str:
        """Name of the network from observations to features."""

    @property
    def dueling(self) -> bool:
        """Whether value and advantages have heads of their own."""

    @property
    def learners(self) -> int:
        """Networks that learn side by side."""

    @property
    def ensemble_size(self) -> int:
        """Generations that decide together."""


class QEnsemble(nn.Module):
    """The mean of the newest Q-network and of snapshots of its past.

    Networks of different times fail at different moments, and their mean at fewer. Source: Anschel et al. 2017,
    "Averaged-DQN", eq. 8, which averages for the targets too.
    """

    taken: Tensor

    def __init__(self, newest: Learners, snapshots: int, free_bytes: int = sys.maxsize) -> None:
        """free_bytes: memory that is free. Raises: ConfigError if the snapshots do not fit into half of it."""
        super().__init__()
        size = sum(tensor.numel() * tensor.element_size() for tensor in newest.state_dict().values())
        if snapshots * size > 0.5 * free_bytes:
            fits = int(0.5 * free_bytes / size)
            raise ConfigError(
                f"{snapshots:,} snapshots of {size / 1e6:.1f} MB do not fit into {free_bytes / 1e9:.1f} GB:"
                f" use --ensemble-size {fits + 1} or less"
            )
        self.newest = newest
        self.snapshots = nn.ModuleList(copy.deepcopy(newest).requires_grad_(False) for _ in range(snapshots))
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    @property
    def members(self) -> list[QNetwork]:
        """The networks that exist by now, of which `forward` takes the mean."""
        generations = [self.newest, *self.snapshots[: int(self.taken)]]
        return [network for generation in generations for network in cast("list[QNetwork]", generation.members)]

    def snapshot(self) -> None:
        """Copy the newest network over the oldest snapshot."""
        self.snapshots[int(self.taken) % len(self.snapshots)].load_state_dict(self.newest.state_dict())
        self.taken += 1

    def forward(self, obs: Tensor) -> Tensor:
        """obs: (B, C, H, W) uint8 or (B, D) float32 -> (B, A) float32, the mean over the networks that exist by now."""
        return torch.stack([network(obs) for network in self.members]).mean(0)


def q_networks(
    config: QSettings, shape: tuple[int, ...], num_actions: int, free_bytes: int = sys.maxsize
) -> Learners | QEnsemble:
    """Make the networks of these settings. shape: of one observation; free_bytes: memory that is free.

    Raises: ConfigError.
    """
    made = [QNetwork(config.backbone, shape, num_actions, config.dueling) for _ in range(config.learners)]
    network = made[0] if len(made) == 1 else MeanQNetwork(made)
    return network if config.ensemble_size == 1 else QEnsemble(network, config.ensemble_size - 1, free_bytes)
