"""Loading weights: those that do not fit are refused with the names of their layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents.rl.q_networks import QNetwork
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.weights import load_network, refuse_unfit


def test_weights_are_loaded_whole_with_the_statistics_of_the_pixels() -> None:
    one, two = (QNetwork("small", (4, 84, 84), 6, dueling=True) for _ in range(2))
    one.backbone.standardize(torch.randint(256, (20, 1, 84, 84), dtype=torch.uint8))  # type: ignore[operator]
    obs = torch.randint(256, (2, 4, 84, 84), dtype=torch.uint8)
    assert not torch.allclose(one(obs), two(obs))
    load_network(two, one.state_dict(), Path("run"))
    assert torch.equal(one(obs), two(obs))


def test_weights_that_do_not_fit_are_refused_with_the_layers_named() -> None:
    six, three = QNetwork("mlp", (4,), 6, dueling=False), QNetwork("mlp", (4,), 3, dueling=True)
    before = {name: tensor.clone() for name, tensor in three.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"weights of runs/a do not fit .*value\.weight.*advantage\.weight"
    ) as caught:
        load_network(three, six.state_dict(), Path("runs/a"))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in three.state_dict().items())


@pytest.mark.parametrize(("value", "said"), [(float("nan"), "are not finite"), (3e38, r"are above 1e\+18")])
def test_weights_that_no_network_computes_with_are_refused(value: float, said: str) -> None:
    network = QNetwork("mlp", (4,), 6, dueling=False)
    saved = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    saved["advantage.weight"][0, 0] = value
    with pytest.raises(CheckpointError, match=rf"weights of runs/a {said}: advantage\.weight$"):
        load_network(network, saved, "runs/a")


def test_scales_of_0_are_refused() -> None:
    network = torch.nn.Module()
    network.register_buffer("scale", torch.ones(2))
    refuse_unfit(network, {"scale": torch.ones(2)}, "x")
    with pytest.raises(CheckpointError, match="scales of x are 0: scale"):
        refuse_unfit(network, {"scale": torch.tensor([1.0, 0.0])}, "x")


def test_counts_and_variances_below_0_are_refused() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    for name in ("0.running_var", "0.num_batches_tracked"):
        saved = network.state_dict()
        saved[name] = saved[name] - 5
        with pytest.raises(CheckpointError, match=rf"counts and variances of runs/a are negative: {name}$"):
            load_network(network, saved, "runs/a")
