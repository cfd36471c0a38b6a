"""Independent, named random generators from one seed; all of them can be saved.

A generator depends on (seed, name) alone, not on the order in which they are made nor on the process: a new consumer of
randomness does not change the numbers of the others.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.lazy import torch


class Generators:
    """Named generators derived from one seed, made on first use.

    Loading a state keeps the generator objects: holders of one need not ask for it again.
    """

    def __init__(self, seed: int, rank: int = 0) -> None:
        """Take the seed of the experiment. Raises ConfigError when it is negative.

        rank: of a process among several that train together, each of which draws numbers of its own.
        """
        if seed < 0:
            raise ConfigError(f"seed must be 0 or more, not {seed}")
        self.seed, self._rank = seed, rank
        self._numpy: dict[str, np.random.Generator] = {}
        self._torch: dict[str, torch.Generator] = {}
        # Loaded states of torch generators that are not in use yet: their device may not exist here.
        self._waiting: dict[str, torch.Tensor] = {}

    def numpy(self, name: str) -> np.random.Generator:
        """Return the numpy generator of that name."""
        if name not in self._numpy:
            self._numpy[name] = np.random.Generator(self._new_bits(name))
        return self._numpy[name]

    def torch(self, name: str, device: str | torch.device = "cpu") -> torch.Generator:
        """Return the torch generator of that name on that device; each device has its own stream."""
        place = torch.device(device)
        key = f"{name}@{place.type}" + (f":{place.index}" if place.index else "")  # cuda and cuda:0 are the same
        if key not in self._torch:
            generator = torch.Generator(place)
            if key in self._waiting:
                generator.set_state(self._waiting.pop(key))
            else:
                generator.manual_seed(self._torch_seed(key))
            self._torch[key] = generator
        return self._torch[key]

    def integer(self, name: str, *index: int) -> int:
        """Derive a seed in [0, 2**31) from the name and any indices; no state advances."""
        return self._derive("integer", name, *map(int, index)) % 2**31

    def state_dict(self) -> dict[str, Any]:
        """Return the seed and the state of every generator in use: plain values and uint8 tensors."""
        torch_states = {key: generator.get_state() for key, generator in self._torch.items()}
        return {
            "seed": self.seed,
            "numpy": {name: generator.bit_generator.state for name, generator in self._numpy.items()},
            "torch": {**self._waiting, **torch_states},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly from a saved state; generators that were not in use then start afresh.

        Raises CheckpointError when the state does not fit.
        """
        try:
            self.seed = int(state["seed"])
            for name in {*self._numpy, *state["numpy"]}:
                saved = state["numpy"].get(name)
                fresh = self._new_bits(name).state
                self.numpy(name).bit_generator.state = fresh if saved is None else saved
            self._waiting = {str(key): _checked(str(key), saved) for key, saved in state["torch"].items()}
            for key, generator in self._torch.items():
                if key in self._waiting:
                    generator.set_state(self._waiting.pop(key))
                else:
                    generator.manual_seed(self._torch_seed(key))
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"the saved state of the random generators does not fit: {error!r}") from error

    def _new_bits(self, name: str) -> np.random.PCG64:
        return np.random.PCG64(np.random.SeedSequence(self._derive("numpy", name)))

    def _torch_seed(self, key: str) -> int:
        return self._derive("torch", key) % 2**63

    def _derive(self, *words: str | int) -> int:
        # A hash of unambiguous text, because SeedSequence([1]) and SeedSequence([1, 0]) are the same stream.
        own = ["rank", self._rank] if self._rank else []
        text = json.dumps([self.seed, *own, *words])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def _checked(key: str, saved: torch.Tensor) -> torch.Tensor:
    """Return the state of a torch generator. Raises TypeError or RuntimeError for what is none of its device."""
    if key.endswith("@cpu"):
        torch.Generator().set_state(saved)
    elif saved.dtype != torch.uint8 or saved.ndim != 1:
        raise TypeError(f"'{key}' is no state of a generator")
    return saved
