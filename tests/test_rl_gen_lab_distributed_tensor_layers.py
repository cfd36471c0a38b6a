"""Layers whose units are parted: with one process they are what torch's own layers are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from rl_gen_lab.distributed.group import Group
from rl_gen_lab.distributed.tensor_layers import Gates, Inputs, Outputs, gru_step, lstm_step


@pytest.fixture(scope="module")
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def first(found: Any) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else [tensor for part in found for tensor in first(part)]


def numbers(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


STATE = (numbers(2, 4), numbers(2, 4) - 0.5)
LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any], tuple[Any, ...]]] = {
    "outputs": (lambda: nn.Linear(3, 4), lambda: Outputs(Group(), joined=True), (numbers(2, 3),)),
    "outputs of a pair": (
        lambda: nn.Linear(3, 4, bias=False),
        lambda: Outputs(Group(), joined=False),
        (numbers(2, 3),),
    ),
    "inputs": (lambda: nn.Linear(3, 4), lambda: Inputs(Group(), cut=True), (numbers(2, 3),)),
    "inputs of a pair": (lambda: nn.Linear(3, 4, bias=False), lambda: Inputs(Group(), cut=False), (numbers(2, 3),)),
    "embedding": (
        lambda: nn.Embedding(5, 4, padding_idx=0),
        lambda: Outputs(Group(), joined=True),
        (torch.tensor([0, 3, 3]),),
    ),
    "cell": (lambda: nn.LSTMCell(3, 4), lambda: Gates(Group()), (numbers(2, 3), STATE)),
    "lstm": (lambda: nn.LSTM(3, 4, batch_first=True), lambda: Gates(Group()), (numbers(2, 5, 3),)),
    "lstm from a state": (
        lambda: nn.LSTM(3, 4, batch_first=True),
        lambda: Gates(Group()),
        (numbers(2, 5, 3), (STATE[0][None], STATE[1][None])),
    ),
    "gru": (lambda: nn.GRU(3, 4, batch_first=True), lambda: Gates(Group()), (numbers(2, 5, 3),)),
    "gru from a state": (
        lambda: nn.GRU(3, 4, batch_first=True),
        lambda: Gates(Group()),
        (numbers(2, 5, 3), STATE[0][None]),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_parted_layer_is_the_layer(mesh: DeviceMesh, name: str) -> None:
    make, style, given = LAYERS[name]
    torch.manual_seed(0)
    whole = make().double()
    parted = style()._apply(copy.deepcopy(whole), mesh)
    assert isinstance(parted.weight if hasattr(parted, "weight") else next(parted.parameters()), DTensor)
    expected, found = first(whole(*given)), first(parted(*given))
    assert len(expected) == len(found)
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)
    weights = torch.linspace(-1, 1, expected[0].numel(), dtype=torch.float64).view_as(expected[0])
    (weights * expected[0]).sum().backward()
    (weights * found[0]).sum().backward()
    for one, other in zip(whole.parameters(), parted.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        gradient = other.grad.full_tensor() if isinstance(other.grad, DTensor) else other.grad
        assert torch.allclose(one.grad, gradient, rtol=0, atol=1e-12)


def test_steps_on_paper() -> None:
    """Gates of 0 let half through, and nothing new; the one that closes for good keeps what there was."""
    hidden, cell = lstm_step(torch.zeros(1, 4), torch.ones(1, 1))
    assert float(cell) == 0.5 and float(hidden) == pytest.approx(0.5 * float(torch.tensor(0.5).tanh()))
    assert float(gru_step(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1, 1))) == 0.5
    assert float(gru_step(torch.tensor([[0.0, 50.0, 9.0]]), torch.zeros(1, 3), torch.ones(1, 1))) == 1.0
