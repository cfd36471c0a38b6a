"""Weights that are put together and parted again, and what a process holds of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rl_gen_lab.distributed.parted import bytes_here, full, gathered, reported, squared_norm, whole_weights


def test_whole_weights_take_the_places_of_parted_ones_and_go_again() -> None:
    first, second = nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
    second.weight = first.weight  # one weight of two layers
    network = nn.Sequential(first, second, nn.Linear(2, 2))
    kept, asked = dict(network.named_parameters(remove_duplicate=False)), []

    def whole(weight: Tensor) -> Tensor | None:
        asked.append(tuple(weight.shape))
        return torch.ones(3, 2) if weight.shape == (3, 2) else None

    with pytest.raises(KeyError), whole_weights(network, whole):
        assert first.weight is second.weight is not kept["0.weight"] and float(first.weight.detach().sum()) == 6
        assert network[2].weight is kept["2.weight"]
        raise KeyError("what happens within")
    assert asked == [(3, 2), (2, 2), (2,)], "a shared weight is asked for once"
    assert all(weight is kept[name] for name, weight in network.named_parameters(remove_duplicate=False))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent_layers_compute_with_the_whole_weights(kind: type[nn.GRU | nn.LSTM]) -> None:
    layer = kind(2, 3)
    x = torch.rand(4, 1, 2)
    before = layer(x)[0]
    with whole_weights(layer, torch.zeros_like), torch.no_grad():
        assert float(layer(x)[0].abs().max()) == 0.0, "they keep a list of their weights beside them"
    assert torch.equal(layer(x)[0], before)


def test_what_is_not_parted_stays_as_it_is() -> None:
    weight = torch.rand(2)
    assert full(weight) is None and gathered({"a": [weight, 3]})["a"][0] is weight


def test_a_process_counts_what_it_holds() -> None:
    network = nn.Linear(512, 512, bias=False)
    optimizer = torch.optim.Adam(network.parameters())
    assert reported(network, optimizer) == {"parameters_mb": 1.0, "optimizer_mb": 0.0}
    network(torch.rand(1, 512)).sum().backward()
    optimizer.step()
    assert reported(network, optimizer)["optimizer_mb"] == pytest.approx(2.0, abs=1e-4)  # two averages and a count
    assert bytes_here([torch.empty(8, device="meta"), torch.empty(3, dtype=torch.float64)]) == 24


def test_squared_norms_add_up() -> None:
    assert float(squared_norm([])) == 0.0
    assert float(squared_norm([torch.tensor([3.0, 0.0]), torch.tensor(4.0)])) == pytest.approx(25)
