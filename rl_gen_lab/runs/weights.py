"""Loading saved weights into a network that they must fit."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # can be loaded into any tensor of a network
# Last parts of names.
NEVER_NEGATIVE = (
    *("token_counts", "uses", "updates", "num_batches_tracked", "count", "frequencies"),
    *("running_var", "obs_var", "var", "scale"),
)
NEVER_ZERO = ("scale", "scales", "std")  # something is divided by them
LARGEST = 1e18  # what is larger is no weight, and overflows in the next layers


def misfits(network: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    """Return the names of the layers by which saved weights do not fit a network."""
    own = network.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys())
    return wrong + [name for name in own if name in tensors and not _fits(tensors[name], own[name])]


def _fits(saved: Tensor, own: Tensor) -> bool:
    """Return whether a tensor is of the shape and kind of another; packed files keep counts as numbers with a point.

    One without rows gets as many as there were examples, such as the known images of nearest neighbors.
    """
    shapes = [tuple(tensor.shape[1:] if own.dim() and not len(own) else tensor.shape) for tensor in (saved, own)]
    return shapes[0] == shapes[1] and (saved.dtype == own.dtype or saved.dtype in FLOATS)


def refuse_unfit(network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Raise CheckpointError naming the layers by which saved weights do not fit, are not finite or below 0."""
    if wrong := misfits(network, tensors):
        more = f" and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise CheckpointError(f"weights of {source} do not fit this network: {', '.join(wrong[:10])}{more}")
    if wrong := [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]:
        raise CheckpointError(f"weights of {source} are not finite: {', '.join(wrong[:10])}")
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    if wrong := [name for name, tensor in floats.items() if float(tensor.abs().max()) > LARGEST]:
        raise CheckpointError(f"weights of {source} are above {LARGEST:g}: {', '.join(wrong[:10])}")
    counts = [name for name in tensors if name.split(".")[-1] in NEVER_NEGATIVE]
    if wrong := [name for name in counts if bool((tensors[name] < 0).any())]:
        raise CheckpointError(f"counts and variances of {source} are negative: {', '.join(wrong[:10])}")
    scales = [name for name in tensors if name.split(".")[-1] in NEVER_ZERO]
    if wrong := [name for name in scales if bool((tensors[name] == 0).any())]:
        raise CheckpointError(f"scales of {source} are 0: {', '.join(wrong[:10])}")


def load_network(network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load saved weights. Raises: CheckpointError as `refuse_unfit`."""
    refuse_unfit(network, tensors, source)
    network.load_state_dict(tensors)


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """Hash names and numbers: 12 hex digits. The bytes of a file would not do: safetensors orders metadata anyhow."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()[:12]
