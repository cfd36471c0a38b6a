"""Loading saved weights into a network that they must fit."""

from __future__ import annotations

from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError


def load_network(network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load saved weights. Raises: CheckpointError naming the layers that do not fit."""
    own = network.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys())
    wrong += [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if wrong:
        raise CheckpointError(f"weights of {source} do not fit this network: {', '.join(wrong)}")
    network.load_state_dict(tensors)
