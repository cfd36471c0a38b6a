"""Stages: each kind on agents' networks, how a network is built again, and the Fisher information by hand."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.rl.q_networks import QNetwork
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression import stages
from rl_gen_lab.compression.layers import Quantizer, coded_state, parametrizations, plain_state, weights
from rl_gen_lab.compression.pruning import kept_share
from rl_gen_lab.compression.recipe import (
    STAGES,
    Binarize,
    Channels,
    DeadUnits,
    Learn,
    LowRank,
    Prune,
    Quantize,
    Sharing,
    Ternarize,
    Training,
)

BACKBONES = ("small", "8x8s4-8x4s2-8x3s1-32")
STRUCTURAL = (("channels", Channels(share=0.5)), ("low_rank", LowRank(energy=0.5)))
QUANTIZING: tuple[Training, ...] = (
    Sharing(bits=2),
    Sharing(bits=2, fisher=True),
    Quantize(bits=3),
    Ternarize(),
    Binarize(),
)


def network(backbone: str = BACKBONES[1]) -> QNetwork:
    torch.manual_seed(0)
    return QNetwork(backbone, (4, 44, 44), 6, False)


def frames(count: int = 2) -> Tensor:
    return torch.randint(256, (count, 4, 44, 44), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def measures(made: nn.Module) -> stages.Measures:
    return stages.Measures(frames, lambda: made(frames()).square().mean())


@pytest.fixture(autouse=True)
def _few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "FISHER_BATCHES", 2)


@pytest.mark.parametrize(("kind", "stage"), STRUCTURAL)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_structural_stage_is_repeated_by_its_plan(backbone: str, kind: str, stage: Training) -> None:
    made, again = network(backbone), network(backbone)
    before = sum(parameter.numel() for parameter in made.parameters())
    plan = stages.structure(stage, made, measures(made))
    assert stages.attach(stage, made, measures(made)) is None and stages.is_structural(stage)
    assert sum(parameter.numel() for parameter in made.parameters()) < 0.8 * before
    stages.rebuild(kind, again, json.loads(json.dumps(plan)))  # as a file keeps it
    assert [(n, p.shape) for n, p in again.named_parameters()] == [(n, p.shape) for n, p in made.named_parameters()]
    again.load_state_dict(made.state_dict())
    assert torch.equal(made(frames()), again(frames()))


def test_channels_and_then_factors_are_repeated_in_order() -> None:
    made, again = network("small"), network("small")
    plans = [(kind, stages.structure(stage, made, measures(made))) for kind, stage in STRUCTURAL]
    for kind, plan in plans:
        stages.rebuild(kind, again, plan)
    again.load_state_dict(made.state_dict())
    assert torch.equal(made(frames()), again(frames()))


@pytest.mark.parametrize("kind", sorted(STAGES.keys() - {"channels", "dead_units", "low_rank"}))
def test_only_structural_stages_can_be_repeated(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"kind '{kind}' do not change the layers"):
        stages.rebuild(kind, network(), {})
    assert not stages.is_structural(STAGES[kind]())


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("stage", QUANTIZING, ids=str)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_quantizing_stages_leave_few_values(backbone: str, stage: Training, pruned: bool) -> None:
    made = network(backbone)
    if pruned:
        update = stages.attach(Prune(kept=0.2), made, None)
        assert update is not None
        update(1.0)
        if isinstance(stage, Binarize):
            with pytest.raises(ConfigError, match="is pruned, but binary weights are never 0"):
                stages.attach(stage, made, measures(made))
            return
    assert stages.attach(stage, made, measures(made)) is None
    for _, module in weights(made):
        weight: Tensor = module.weight.detach()  # type: ignore[union-attr, assignment, operator]
        if isinstance(stage, Binarize):
            assert all(len(row.unique()) <= 2 for row in weight)
        else:
            assert len(weight.unique()) <= {Sharing: 4, Quantize: 7, Ternarize: 3}[type(stage)]  # type: ignore[index]
        assert not pruned or (weight == 0).any()
    made(frames()).sum().backward()


@pytest.mark.parametrize("stage", QUANTIZING, ids=str)
def test_a_loaded_state_is_the_network_that_was_saved(stage: Training) -> None:
    made, again = network(), network()
    for one, known in ((made, measures(made)), (again, None)):
        first = Prune(kept=0.3, layers=("fc",)) if not isinstance(stage, Binarize) else Learn()
        stages.attach(first, one, known)
        with torch.no_grad():
            for parameter in one.parameters() if one is made else ():
                parameter.mul_(1.3)
        stages.attach(stage, one, known)
    assert list(again.state_dict()) == list(made.state_dict())
    assert [name for name, _ in again.named_parameters()] == [name for name, _ in made.named_parameters()]
    again.load_state_dict(made.state_dict())
    for name, tensor in plain_state(made).items():
        assert torch.equal(plain_state(again)[name], tensor), name
    for name, stored in coded_state(made).items():
        np.testing.assert_array_equal(coded_state(again)[name].values(), stored.values(), err_msg=name)


@pytest.mark.parametrize("second", QUANTIZING, ids=str)
@pytest.mark.parametrize("first", QUANTIZING, ids=str)
def test_a_layer_is_quantized_once(first: Any, second: Any) -> None:
    made = network()
    stages.attach(type(first)(layers=("fc", "conv.2")), made, measures(made))
    before = copy.deepcopy(plain_state(made))
    with pytest.raises(ConfigError, match=r"^backbone\.conv\.2 already takes few values: name the layers"):
        stages.attach(second, made, measures(made))
    assert all(torch.equal(tensor, before[name]) for name, tensor in plain_state(made).items())
    stages.attach(type(second)(layers=("conv.0", "advantage")), made, measures(made))
    taken = [name for name, module in weights(made) if any(isinstance(p, Quantizer) for p in parametrizations(module))]
    assert taken == ["backbone.conv.0", "backbone.conv.2", "backbone.fc", "advantage"]


def test_a_pruning_stage_masks_more_and_more() -> None:
    made = network()
    update = stages.attach(Prune(kept=0.2), made, None)
    assert update is not None
    shares = []
    for progress in (0.0, 0.3, 0.7, 1.0):
        update(progress)
        shares.append(kept_share(made))
    assert shares[0] == 1 and shares == sorted(shares, reverse=True) and shares[-1] == pytest.approx(0.2, abs=1e-4)


def test_learning_changes_nothing_by_itself() -> None:
    made = network()
    before = list(made.state_dict())
    assert stages.attach(Learn(), made, measures(made)) is None and list(made.state_dict()) == before


def test_layers_that_do_not_exist_are_refused() -> None:
    for stage in (Prune(layers=("head",)), Quantize(layers=("head",)), Sharing(layers=("head",))):
        with pytest.raises(ConfigError, match="no layer is named 'head'"):
            stages.attach(stage, network(), None)


@pytest.mark.parametrize("masked", [False, True])
def test_fisher_information_is_the_mean_squared_gradient(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "FISHER_BATCHES", 5)
    torch.manual_seed(0)
    x, y, made = torch.randn(5, 4, 3), torch.randn(5, 4, 2), nn.Sequential(nn.Linear(3, 2), nn.Identity())
    if masked:
        update = stages.attach(Prune(kept=0.5), made, None)
        assert update is not None
        update(1.0)
    weight, bias = made[0].weight.detach().double().numpy(), made[0].bias.detach().double().numpy()
    batches = iter(zip(x, y, strict=True))

    def loss() -> Tensor:
        inputs, targets = next(batches)
        return (made(inputs) - targets).square().sum(1).mean()

    found = stages.fisher_information(made, stages.Measures(lambda: x[0], loss))
    gradients = []
    for inputs, targets in zip(x.double().numpy(), y.double().numpy(), strict=True):
        gradients.append(2 * (inputs @ weight.T + bias - targets).T @ inputs / len(inputs))
    assert list(found) == ["0"]
    np.testing.assert_allclose(found["0"], np.mean(np.square(gradients), 0), rtol=1e-4)
    assert all(parameter.grad is None for parameter in made.parameters())


def test_sharing_weighs_by_the_fisher_information() -> None:
    made = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        made[0].weight.copy_(torch.tensor([[1.0, 1.2, 5.0, 9.0]]))
    inputs = torch.tensor([[100.0, 0, 1, 1]])  # only the first of two near weights matters
    stages.attach(Sharing(bits=2, fisher=True), made, stages.Measures(lambda: inputs, lambda: made(inputs).sum()))
    assert made[0].weight.detach().tolist() == [[1, 1, 5, 9]]
    plain = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        plain[0].weight.copy_(torch.tensor([[1.0, 1.2, 5.0, 9.0]]))
    stages.attach(Sharing(bits=2), plain, None)
    torch.testing.assert_close(plain[0].weight.detach(), torch.tensor([[1.1, 1.1, 5, 9]]), rtol=1e-3, atol=0)


def test_dead_units_go_and_nothing_changes() -> None:
    torch.manual_seed(3)
    network = QNetwork("8x8s4-8x4s2-8x3s1-32", (4, 84, 84), 6, False).eval()
    with torch.no_grad():
        network.backbone.fc.bias[:9] = -1e6  # type: ignore[union-attr,index,operator]
        network.backbone.conv[2].bias[3] = -1e6  # type: ignore[union-attr,index,operator]
    generator = torch.Generator().manual_seed(0)

    def example() -> torch.Tensor:
        return torch.randint(256, (4, 4, 84, 84), dtype=torch.uint8, generator=generator)

    frames = example()
    with torch.no_grad():
        before = network(frames)
        plan = stages.structure(DeadUnits(batches=3), network, stages.Measures(example, lambda: torch.zeros(())))
        torch.testing.assert_close(network(frames), before, rtol=0, atol=1e-5)
    assert network.backbone.fc.weight.shape[0] <= 23 and network.backbone.conv[2].out_channels <= 7  # type: ignore
    fresh = QNetwork("8x8s4-8x4s2-8x3s1-32", (4, 84, 84), 6, False)
    stages.rebuild("dead_units", fresh, plan)
    fresh.load_state_dict(network.state_dict())
