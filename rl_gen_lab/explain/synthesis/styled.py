"""The methods of style by name, their measures, and what a detector finds in restyled frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.explain.synthesis import style as searches
from rl_gen_lab.explain.synthesis.measures import judged, sliced_wasserstein
from rl_gen_lab.explain.synthesis.style import Weights
from rl_gen_lab.explain.synthesis.stylers import AnyStyle, FastStyle, train_any, train_fast
from rl_gen_lab.runs.checkpoints import load_weights, save_weights
from rl_gen_lab.runs.weights import load_network
from rl_gen_lab.vision.box_metrics import center_f1

METHODS = ("colors", "search", "fast", "any")
AS_IT_IS, SIDE = "as it is", 7  # of the patches that are compared
Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Stylist:
    """How pictures get a style. style: (1, 3, H, W) in [0, 1]; contents, others: (N, 3, H, W) uint8, to learn from.

    others: pictures that a network for any style learns from; the style itself is none of them. kept: folder in which
    learned networks are kept, or lie already where `learned`.
    """

    style: Tensor
    contents: Tensor
    others: Tensor
    weights: Weights
    iterations: int
    updates: int
    strength: float
    seed: int
    kept: Path
    learned: Path | None = None

    def __post_init__(self) -> None:
        """Raises: ConfigError for a style of a single color, beside which nothing can be measured."""
        if bool((self.style == self.style[:, :, :1, :1]).all()):
            raise ConfigError("the picture of the style has a single color, which is no style: choose another")

    def again(self) -> Stylist:
        """Return the same with the networks that it has trained."""
        return replace(self, learned=self.kept)

    def prepare(self, method: str) -> tuple[Apply, float]:
        """Return what restyles (1, 3, H, W) in [0, 1], and the seconds of the processor that learning it took.

        Raises: CheckpointError, SaveError.
        """
        if method == "colors":
            return lambda content: searches.colored(content, self.style), 0.0
        if method == "search":
            return self._search, 0.0
        started = time.process_time()
        network = self._network(method)
        seconds = 0.0 if self.learned else time.process_time() - started
        if isinstance(network, FastStyle):
            return network, seconds
        return lambda content: network(content, self.style, self.strength), seconds

    def refuse_lost_networks(self, methods: Sequence[str]) -> None:
        """Read the networks of an earlier run that the methods take. Raises: CheckpointError."""
        for method in ("fast", "any") if self.learned is not None else ():
            if method in methods:
                self._network(method)

    def _search(self, content: Tensor) -> Tensor:
        with ProgressDisplay("search", self.iterations, "steps") as display:
            return searches.search(
                *(content, self.style, self.weights),
                iterations=self.iterations,
                seed=self.seed,
                on_step=lambda done: display.update(done, ""),
            )

    def _network(self, method: str) -> nn.Module:
        """Return a network: that of an earlier run, or one that is trained now and kept."""
        if self.learned is not None:
            file = self.learned / f"{method}.safetensors"
            if not file.is_file():
                raise CheckpointError(f"no network {file}: the run was not of the method {method}, or has not ended")
            network: nn.Module = FastStyle() if method == "fast" else AnyStyle()
            load_network(network, load_weights(file)[0], str(file))
            return network.eval().requires_grad_(False)
        with ProgressDisplay(f"training {method}", self.updates, "updates") as display:
            common: dict[str, Any] = {
                "updates": self.updates,
                "seed": self.seed,
                "on_update": lambda done, loss: display.update(done, f"loss {loss:.3f}"),
            }
            if method == "fast":
                network = train_fast(self.contents, self.style, self.weights, **common)
            else:
                network = train_any(self.contents, self.others, **common)
        save_weights(self.kept / f"{method}.safetensors", dict(network.state_dict()), {"method": method})
        return network


def compared(pictures: Sequence[Tensor], contents: Sequence[Tensor], style: Tensor) -> dict[str, float]:
    """Return the means of the measures of restyled pictures: near to the style, and near to their contents."""
    found: dict[str, float] = {}
    pairs = list(zip(pictures, contents, strict=True))
    found["gram"] = sum(judged(one, style) for one in pictures) / len(pairs)
    found["wasserstein_7"] = sum(sliced_wasserstein(one, style, SIDE) for one in pictures) / len(pairs)
    found["edges_kept"] = sum(searches.edges_kept(one, own) for one, own in pairs) / len(pairs)
    return found


def detected(task: Any, split: Split, indices: Sequence[int], pictures: Iterable[Tensor]) -> dict[str, float]:
    """Return the F1 of centers that a detector has on restyled images of a split, also of each category."""
    images = torch.cat([(255 * one).round().byte() for one in pictures])
    found = [one.above(task.config.score) for one in task.predict(images)]
    truth = [split.boxes(index) for index in indices]
    scores = center_f1([replace(one, masks=None) for one in found], truth, task.categories)
    return {name: value for name, value in scores.items() if name.split("/")[0] == "f1"}


def restyled(apply: Apply, contents: Sequence[Tensor], what: str) -> tuple[list[Tensor], float]:
    """Return restyled pictures, and the seconds of the processor for one. Raises: ConfigError for one too small."""
    made, seconds = [], 0.0
    with ProgressDisplay(what, len(contents), "pictures") as display, torch.no_grad():
        for number, content in enumerate(contents):
            started = time.process_time()
            with torch.enable_grad():
                made.append(apply(content).detach())
            seconds += time.process_time() - started
            display.update(number + 1, "")
    if any(one.shape != own.shape for one, own in zip(made, contents, strict=True)):
        raise ConfigError("a restyled picture has another size than its content: choose one of at least 16 pixels")
    return made, seconds / len(contents)
