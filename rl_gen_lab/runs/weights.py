"""Loading saved weights into a network that they must fit."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError

MOST_NAMED = 20  # layers in a message


def misfits(network: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    """Return the names of the layers by which saved weights do not fit a network."""
    own = network.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys())
    return wrong + [name for name in own if name in tensors and own[name].shape != tensors[name].shape]


def load_network(network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load saved weights. Raises: CheckpointError naming the layers that do not fit."""
    if wrong := misfits(network, tensors):
        more = f" and {len(wrong) - MOST_NAMED:,} more" if len(wrong) > MOST_NAMED else ""
        raise CheckpointError(f"weights of {source} do not fit this network: {', '.join(wrong[:MOST_NAMED])}{more}")
    network.load_state_dict(tensors)


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """Hash names and numbers: 12 hex digits. The bytes of a file would not do: safetensors orders metadata anyhow."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()[:12]
