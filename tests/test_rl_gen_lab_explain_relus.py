"""Guided backpropagation sees every form of ReLU, where hooks on modules miss some in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from explained_models import Curved, curved, explained
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones import build
from rl_gen_lab.explain.gradient_maps import guided_backpropagation
from rl_gen_lab.explain.relus import GuidedReLU, ReplacedReLUs

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu in place, by position": lambda x: F.relu(x, True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_passes_back_only_what_is_positive(form: str) -> None:
    x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    with ReplacedReLUs(GuidedReLU.apply) as mode:
        y = FORMS[form](1 * x)
    y.backward(torch.tensor([5.0, -5.0, 5.0]))
    assert x.grad is not None and x.grad.tolist() == [0.0, 0.0, 5.0]
    assert y.tolist() == [0.0, 2.0, 3.0] and mode.met == 1


def test_a_relu_in_place_changes_what_others_hold() -> None:
    with ReplacedReLUs(GuidedReLU.apply):
        x = torch.tensor([-1.0, 2.0])
        F.relu_(x)
    assert x.tolist() == [0.0, 2.0]


def test_a_clamp_at_both_ends_is_no_relu() -> None:
    with ReplacedReLUs(GuidedReLU.apply) as mode:
        torch.tensor([1.0]).clamp(0, 1)
        torch.tensor([1.0]).clamp(min=-1)
    assert mode.met == 0


class Functional(nn.Module):
    """The same network as `Curved`, with functional ReLUs."""

    def __init__(self, source: Curved) -> None:
        super().__init__()
        self.source = source

    def forward(self, frames: Tensor) -> Tensor:
        own = self.source
        hidden = F.relu(own.conv[2](own.conv[0](frames).relu()), inplace=True)
        out: Tensor = own.head(torch.relu(own.fc(hidden.flatten(1))))
        return out


def by_hooks(network: nn.Module, frames: Tensor, chosen: Tensor) -> Tensor:
    """The oracle, right for networks of modules: gradients are clamped by hooks on them."""

    def clamp(module: nn.Module, inputs: Any, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(part.clamp(min=0) for part in inputs)

    handles = [m.register_full_backward_hook(clamp) for m in network.modules() if isinstance(m, nn.ReLU)]
    try:
        return explained(network, (2, 12, 12)).gradients(frames, chosen)
    finally:
        for handle in handles:
            handle.remove()


def test_guided_maps_are_those_of_hooks_on_modules_and_the_same_for_functions() -> None:
    model, frames, chosen = curved()
    network = model.network
    assert isinstance(network, Curved)
    expected = by_hooks(network, frames, chosen)
    assert torch.equal(guided_backpropagation(model, frames, chosen), expected)
    functional = model.with_network(Functional(network))
    assert torch.equal(guided_backpropagation(functional, frames, chosen), expected)
    # what hooks on modules see of it: nothing
    assert not torch.allclose(by_hooks(functional.network, frames, chosen), expected)


@pytest.mark.parametrize(("backbone", "met"), [("nature", 4), ("small", 4), ("impala", 14)])
def test_no_relu_of_a_backbone_is_missed_and_its_output_stays(backbone: str, met: int) -> None:
    network = build(backbone, (4, 84, 84)).eval()
    frames = 255 * torch.rand(1, 4, 84, 84)
    with ReplacedReLUs(GuidedReLU.apply) as mode, torch.no_grad():
        guided = network(frames)
    with torch.no_grad():
        assert torch.equal(guided, network(frames))
    assert mode.met == met
