"""Networks of packed files in numpy: to play, or to look inside, where there is no torch.

`header["network"]` says what the network is: {"backbone": a description or one of `described.KNOWN`, "shape": of one
observation (C, H, W), "actions": A, "dueling": only where true}. Its tensors have the names of `agents.rl.q_networks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rl_gen_lab.backbones.described import Description, parse
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression.header import check_table, is_flag, is_size, is_text
from rl_gen_lab.compression.packed_file import Packed, Shapes

MOST_VALUES = 1 << 25  # of one layer for one frame, its input windows and its output: 128 MB


def shapes_of(header: dict[str, Any]) -> Shapes:
    """Return the tensors of the network in a header, by name, in the order of the file. Raises: CheckpointError."""
    description, shape, actions, dueling = _network(header)
    found = {f"backbone.{name}": size for name, size in description.shapes(shape).items()}
    found |= {"advantage.weight": (actions, description.units), "advantage.bias": (actions,)}
    return found | ({"value.weight": (1, description.units), "value.bias": (1,)} if dueling else {})


def network_table(header: dict[str, Any]) -> tuple[str, tuple[int, int, int], int, bool]:
    """Return what a header says of a policy's network: backbone, shape of an observation, actions, dueling.

    Raises: CheckpointError.
    """
    if not isinstance(header.get("network"), dict):
        raise CheckpointError("the packed file holds no policy: it does not say what its network is")
    needed = {"backbone": is_text, "shape": _is_shape, "actions": is_size}
    network = check_table(header["network"], "its network", needed, dict.fromkeys(("dueling", "q_values"), is_flag))
    channels, height, width = network["shape"]
    return network["backbone"], (channels, height, width), network["actions"], network.get("dueling", False)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(is_size, value))


def _network(header: dict[str, Any]) -> tuple[Description, tuple[int, int, int], int, bool]:
    backbone, frame, actions, dueling = network_table(header)
    try:
        description = parse(backbone)
        largest = _largest_layer(description, frame)
    except ConfigError as error:
        raise CheckpointError(f"the packed network cannot be built: {error}") from error
    if largest > MOST_VALUES:  # of few weights: small kernels on large frames
        raise CheckpointError(f"the packed network is refused: one layer would hold {largest:,} numbers")
    return description, frame, actions, dueling


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
