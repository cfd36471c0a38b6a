"""Networks of packed files in numpy: to play, or to look inside, where there is no torch.

`header["network"]` says what the network is: {"backbone": a description or one of `described.KNOWN`, "shape": of one
observation (C, H, W), "actions": A, "dueling": only where true}. Its tensors have the names of `agents.rl.q_networks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rl_gen_lab.backbones.described import Description, parse
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression.packed_file import Packed, Shapes

LARGEST = 4_096  # of any size in a header
LONGEST_TEXT = 256  # characters of a backbone
MOST_VALUES = 1 << 25  # of one layer for one frame, its input windows and its output: 128 MB


def shapes_of(header: dict[str, Any]) -> Shapes:
    """Return the tensors of the network in a header, by name, in the order of the file. Raises: CheckpointError."""
    description, shape, actions, dueling = _network(header)
    found = {f"backbone.{name}": size for name, size in description.shapes(shape).items()}
    found |= {"advantage.weight": (actions, description.units), "advantage.bias": (actions,)}
    return found | ({"value.weight": (1, description.units), "value.bias": (1,)} if dueling else {})


def _network(header: dict[str, Any]) -> tuple[Description, tuple[int, int, int], int, bool]:
    network = header.get("network")
    if not isinstance(network, dict) or not isinstance(network.get("backbone"), str):
        raise CheckpointError("the packed file does not say what its network is")
    shape, actions = network.get("shape"), network.get("actions")
    sizes = [*shape, actions] if isinstance(shape, list) else []
    if len(sizes) != 4 or not all(type(n) is int and 1 <= n <= LARGEST for n in sizes):
        raise CheckpointError("the packed file does not say which observations and actions its network has")
    frame, dueling = (sizes[0], sizes[1], sizes[2]), network.get("dueling", False)
    if type(dueling) is not bool or len(network["backbone"]) > LONGEST_TEXT:
        raise CheckpointError("the packed file does not say clearly what its network is")
    try:
        description = parse(network["backbone"])
        largest = _largest_layer(description, frame)
    except ConfigError as error:
        raise CheckpointError(f"the packed network cannot be built: {error}") from error
    if largest > MOST_VALUES:  # of few weights: small kernels on large frames
        raise CheckpointError(f"the packed network is refused: one layer would hold {largest:,} numbers")
    return description, frame, sizes[3], dueling


def _largest_layer(description: Description, frame: tuple[int, int, int]) -> int:
    """Numbers that a convolution holds for one frame: its windows, and its output. Raises: ConfigError."""
    maps = description.maps(frame)
    layers = zip(maps[:-1], maps[1:], description.convolutions, strict=True)
    return max(h * w * (channels * kernel * kernel + out) for (channels, _, _), (out, h, w), (_, kernel, _) in layers)


class NumpyNetwork:
    """Action values of a packed network."""

    def __init__(self, packed: Packed) -> None:
        """packed: read with `shapes_of`. Raises: CheckpointError for a file with other tensors."""
        self.description, self.shape, _, self.dueling = _network(packed.header)
        if {name: tensor.shape for name, tensor in packed.tensors.items()} != shapes_of(packed.header):
            raise CheckpointError("the packed file does not hold the tensors of its network")
        self.tensors = packed.values()

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """frames: (B, C, H, W) uint8 -> (B, A) float32."""
        if frames.shape[1:] != self.shape:
            raise ValueError(f"the network reads frames of {self.shape}, not {frames.shape[1:]}")
        x = frames.astype(np.float32) - self.tensors["backbone.conv.0.mean"]
        for index, (_, _, stride) in enumerate(self.description.convolutions):
            weight = self.tensors[f"backbone.conv.{2 * index}.weight"]
            if index == 0:
                weight = weight * self.tensors["backbone.conv.0.scale"]
            bias = self.tensors[f"backbone.conv.{2 * index}.bias"][:, None, None]
            x = np.maximum(convolve(x, weight, stride) + bias, 0)
        if self.description.profiles:
            flat = np.concatenate([x.mean(3).reshape(len(x), -1), x.mean(2).reshape(len(x), -1)], 1)
        else:
            flat = x.reshape(len(x), -1)
        features = np.maximum(self._linear("backbone.fc", flat), 0)
        q = self._linear("advantage", features)
        return q - q.mean(1, keepdims=True) + self._linear("value", features) if self.dueling else q

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        result: np.ndarray = x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]
        return result


def convolve(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """x: (B, C, H, W), weight: (C', C, k, k) -> (B, C', H', W'), without padding."""
    kernel = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, weight[0].size)
    product = columns @ weight.reshape(len(weight), -1).T
    return product.reshape(len(x), *windows.shape[2:4], len(weight)).transpose(0, 3, 1, 2)
