"""What each kind of stage does to a network: before it learns, and before each update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression import levels, low_rank, pruning, sharing, structured, ternary
from rl_gen_lab.compression.layers import WEIGHT, Quantizer, chosen, parametrizations, weights
from rl_gen_lab.compression.rank_plan import plan_by_budget, plan_by_energy
from rl_gen_lab.compression.recipe import (
    STRUCTURAL,
    Binarize,
    Channels,
    DeadUnits,
    LowRank,
    Prune,
    Quantize,
    Sharing,
    Ternarize,
    Training,
)

# update(progress in [0, 1]), called before each update
Update = Callable[[float], None]
FISHER_BATCHES = 50


class Measures:
    """What a stage may ask of the task: examples, and losses of the network. Both advance its random numbers."""

    def __init__(self, example: Callable[[], Tensor], loss: Callable[[], Tensor]) -> None:
        self.example, self.loss = example, loss


def structure(stage: Training, network: nn.Module, measures: Measures) -> Any:
    """Change the layers of a network as a structural stage says, and return the plan by which `rebuild` repeats it.

    Raises: ConfigError for a network that it does not fit.
    """
    if isinstance(stage, DeadUnits):
        examples = torch.cat([measures.example() for _ in range(stage.batches)])
        return structured.remove(network, structured.dead_units(network, examples))
    if isinstance(stage, Channels):
        return structured.prune_channels(network, measures.example(), stage.share)
    assert isinstance(stage, LowRank)
    if stage.numbers is None:
        plan = plan_by_energy(network, stage.energy, stage.layers)
    else:
        plan = plan_by_budget(network, stage.numbers, stage.layers)
    low_rank.factor(network, plan)
    return plan


def rebuild(kind: str, network: nn.Module, plan: Any) -> None:
    """Give a new network the layers that a stage of this kind left; the weights come from a saved state.

    Raises: ConfigError for a plan that does not fit, or another kind.
    """
    if kind in ("channels", "dead_units"):
        structured.apply_plan(network, plan)
    elif kind == "low_rank":
        low_rank.build_factored(network, plan)
    else:
        raise ConfigError(f"stages of kind {kind!r} do not change the layers of a network")


def attach(stage: Training, network: nn.Module, measures: Measures | None) -> Update | None:
    """Put masks, levels or codebooks on the weights, and return what is to be done before each update.

    measures: None where the state of the network will be loaded afterwards. Raises: ConfigError for layers that do not
    exist or already take few values.
    """
    if isinstance(stage, Prune):
        return pruning.Pruner(chosen(network, stage.layers), stage.kept, stage.scope).update
    if isinstance(stage, Sharing | Quantize | Ternarize | Binarize):
        layers = chosen(network, stage.layers)
        taken = [name for name, module in layers if any(isinstance(p, Quantizer) for p in parametrizations(module))]
        if taken:
            raise ConfigError(f"{taken[0]} already takes few values: name the layers of each stage")
        if isinstance(stage, Binarize) and (pruned := [name for name, module in layers if parametrizations(module)]):
            raise ConfigError(f"{pruned[0]} is pruned, but binary weights are never 0: name other layers")
        if isinstance(stage, Quantize):
            levels.quantize(layers, stage.bits, stage.rate or 0.0)
        elif isinstance(stage, Ternarize):
            ternary.ternarize(layers)
        elif isinstance(stage, Binarize):
            ternary.binarize(layers)
        else:
            fisher = fisher_information(network, measures) if stage.fisher and measures is not None else None
            sharing.share(layers, stage.bits, fisher)
    return None


def fisher_information(network: nn.Module, measures: Measures) -> dict[str, Tensor]:
    """Mean squared gradient of the loss for the weights of each layer, by its name."""
    total = {name: torch.zeros_like(getattr(module, WEIGHT)) for name, module in weights(network)}
    for _ in range(FISHER_BATCHES):
        network.zero_grad()
        measures.loss().backward()
        for name, module in weights(network):
            behind = _behind(module).grad
            if behind is not None:
                total[name] += behind.square() / FISHER_BATCHES
    network.zero_grad()
    return {name: squares.detach() for name, squares in total.items()}


def _behind(module: nn.Module) -> Tensor:
    own = parametrizations(module)
    if not own:
        weight: Tensor = getattr(module, WEIGHT)
        return weight
    original: Tensor = module.parametrizations[WEIGHT].original  # type: ignore[index,union-attr]
    return original


def is_structural(stage: Training) -> bool:
    """Return whether a stage changes the shapes of layers."""
    return isinstance(stage, STRUCTURAL)
