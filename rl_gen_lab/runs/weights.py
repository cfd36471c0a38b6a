"""Loading saved weights into a network that they must fit."""

from __future__ import annotations

from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError


def misfits(network: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    """Return the names of the layers by which saved weights do not fit a network."""
    own = network.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys())
    return wrong + [name for name in own if name in tensors and own[name].shape != tensors[name].shape]


def load_network(network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load saved weights. Raises: CheckpointError naming the layers that do not fit."""
    if wrong := misfits(network, tensors):
        raise CheckpointError(f"weights of {source} do not fit this network: {', '.join(wrong)}")
    network.load_state_dict(tensors)
