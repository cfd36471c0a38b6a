"""A network whose frames are searched for: its layers and outputs by name, its mean frame, frames that it has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.explain.layers import part_of, parts
from rl_gen_lab.explain.model import BATCH

Value = Callable[[Tensor], Tensor]  # frames (B, C, H, W) float32 in [0, 255] -> (B,)


class Reached(Exception):
    """The last layer that is asked for has been computed: what follows it need not be."""


@dataclass(frozen=True)
class Subject:
    """A network with its frames.

    run: frames (B, C, H, W) float32 in [0, 255] -> anything, through all layers. outputs: frames -> (B, K), the number
    of each action or category. names: of these. mean: (C, H, W) float32. frames: (N, C, H, W) uint8, that it has seen.
    reachable: (M, C, H, W) uint8, frames that the emulator drew of states written into it. depth: channels of a frame,
    1 for stacks of gray ones, 3 for color.
    """

    network: nn.Module
    run: Callable[[Tensor], Any]
    outputs: Callable[[Tensor], Tensor]
    names: tuple[str, ...]
    mean: Tensor
    frames: Tensor
    reachable: Tensor | None
    depth: int

    def layers(self) -> list[str]:
        """Return the names of the layers with weights, as they stand in the network; a name for all of an ensemble."""
        kinds = (nn.Conv2d, nn.Linear)
        names = (part_of(name) for name, module in self.network.named_modules() if isinstance(module, kinds))
        return list(dict.fromkeys(names))

    def checked(self, layer: str) -> str:
        """Return the name of a layer. Raises: ConfigError for one that does not exist, with those that do."""
        known = self.layers()
        if layer not in known:
            raise ConfigError(f"no layer {layer!r}; there are {', '.join(known)}.{suggest(layer, known)}")
        return layer

    def maps(self, layer: str, frames: Tensor) -> Tensor:
        """Return what a layer gives before a ReLU that follows: (B, C, H, W), or (B, D) of a fully connected one.

        Of an ensemble that of one newest network. Frames of another size than the network's pass its convolutions: the
        mean frame that the first one subtracts is scaled with them.
        """
        kept: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            kept.append(output.clone())  # a ReLU in place would change it
            raise Reached

        first = [module for module in self.network.modules() if isinstance(module, ScaledConv2d)]
        means = [module.mean for module in first]
        handle = parts(self.network, self.checked(layer))[0].register_forward_hook(keep)
        try:
            for module in first:
                if module.mean.shape[1:] != frames.shape[2:] and module.mean.shape[1] > 1:
                    module.mean = F.interpolate(module.mean[None], frames.shape[2:], mode="bilinear")[0]
            self.run(frames)
        except Reached:
            return kept[0]
        finally:
            handle.remove()
            for module, mean in zip(first, means, strict=True):
                module.mean = mean
        raise ConfigError(f"the network never came to the layer {layer!r}: choose another")

    def value(self, layer: str | None, unit: int, single: bool = False) -> tuple[str, Value]:
        """Return the name and the number of a unit: an output less the mean of the others, or a layer's channel.

        single: the neuron in the middle of the channel, instead of the mean over places. Raises: ConfigError.
        """
        if layer is None:
            if unit >= len(self.names):
                known = ", ".join(f"{number} {name}" for number, name in enumerate(self.names))
                raise ConfigError(f"there is no output {unit}: {known}")

            def gap(frames: Tensor) -> Tensor:
                found = self.outputs(frames)
                return found[:, unit] - (found.sum(1) - found[:, unit]) / max(found.shape[1] - 1, 1)

            return self.names[unit], gap
        with torch.no_grad():
            count = self.maps(layer, self.mean[None]).shape[1]
        if unit >= count:
            raise ConfigError(f"the layer {layer} has no unit {unit}: 0 to {count - 1}")

        def of_layer(frames: Tensor) -> Tensor:
            maps = self.maps(layer, frames)
            if maps.ndim == 2:
                return maps[:, unit]
            middle = maps[:, unit, maps.shape[2] // 2, maps.shape[3] // 2]
            return middle if single else maps[:, unit].mean((1, 2))

        return f"{layer}, {'neuron' if single else 'unit'} {unit}", of_layer


@torch.no_grad()
def best_of(value: Value, frames: Tensor) -> tuple[Tensor, float, float]:
    """Return of frames (N, C, H, W) uint8 the one of the largest value, (C, H, W), this value, and their spread."""
    values = torch.cat([value(part.float()) for part in frames.split(BATCH)])
    best = int(values.argmax())
    return frames[best], float(values[best]), float(values.std()) if len(values) > 1 else 1.0


def checked_units(units: Sequence[int], count: int) -> list[int]:
    """Return the units to show, without repeats; none named: the first four of `count`."""
    return list(dict.fromkeys(units)) or list(range(min(count, 4)))
