"""What is compressed of a network: names and order as in a network built anew, and values as they are stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.rl.q_networks import QNetwork
from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression import levels, pruning, sharing, ternary
from rl_gen_lab.compression.layers import chosen, coded_state, parametrizations, plain_state, weights
from rl_gen_lab.compression.numpy_network import shapes_of
from rl_gen_lab.compression.packed_file import read, write

SHAPE, ACTIONS = (4, 44, 44), 6
BACKBONES = ("small", "8x8s4-8x4s2-8x3s1-32")
IN_FORCE = ("", "prune", "levels", "share", "ternary", "binary", "prune levels", "prune share", "prune ternary")


def network(backbone: str = "8x8s4-8x4s2-8x3s1-32", in_force: str = "", dueling: bool = False) -> QNetwork:
    torch.manual_seed(0)
    made = QNetwork(backbone, SHAPE, ACTIONS, dueling)
    made.standardize(torch.randint(256, (3, 1, 44, 44), dtype=torch.uint8))
    for technique in in_force.split():
        layers = list(weights(made))
        if technique == "prune":
            pruning.Pruner(layers, 0.3, "network").update(1.0)
        elif technique == "levels":
            levels.quantize(layers, 3)
        elif technique == "share":
            sharing.share(layers, 3)
        else:
            (ternary.ternarize if technique == "ternary" else ternary.binarize)(layers)
    return made


@pytest.mark.parametrize("in_force", IN_FORCE)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_plain_state_has_the_names_and_order_of_a_new_network(backbone: str, in_force: str) -> None:
    made = network(backbone, in_force)
    state = plain_state(made)
    assert list(state) == list(QNetwork(backbone, SHAPE, ACTIONS, False).state_dict())
    header = {"network": {"backbone": backbone, "shape": list(SHAPE), "actions": ACTIONS}}
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == shapes_of(header)
    assert list(shapes_of(header)) == list(state) == list(coded_state(made))
    assert not any(tensor.requires_grad for tensor in state.values())


@pytest.mark.parametrize("in_force", IN_FORCE)
def test_a_new_network_with_the_plain_state_computes_the_same(in_force: str) -> None:
    made = network(in_force=in_force, dueling=True)
    plain = QNetwork("8x8s4-8x4s2-8x3s1-32", SHAPE, ACTIONS, True)
    plain.load_state_dict(plain_state(made))
    frames = torch.randint(256, (2, *SHAPE), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(plain(frames), made(frames))


@pytest.mark.parametrize("in_force", IN_FORCE)
def test_what_is_stored_is_what_the_layers_see(in_force: str) -> None:
    made = network(in_force=in_force)
    plain, stored = plain_state(made), coded_state(made)
    kind = {"": "float32", "share": "codebook", "ternary": "codebook"}
    for name, module in weights(made):
        tensor = stored[f"{name}.weight"]
        assert (
            tensor.kind == kind.get(in_force.removeprefix("prune "), "levels") and tensor.shape == module.weight.shape
        )
        exact = plain[f"{name}.weight"].numpy()
        if in_force == "prune":  # no levels of its own: 255
            assert np.abs(tensor.values() - exact).max() <= 0.51 * np.abs(exact).max() / 127
            assert ((tensor.values() == 0) >= (exact == 0)).all()
        else:
            np.testing.assert_array_equal(tensor.values(), exact)
    for name in plain:
        if name.endswith("bias"):
            values, exact = stored[name].values(), plain[name].numpy()
            assert stored[name].codes is not None and np.abs(stored[name].codes).max() <= 127
            assert np.abs(values - exact).max() <= 0.5 * np.abs(exact).max() / 127 * (1 + 2**-7)


def test_a_file_by_architecture_gives_every_tensor_to_its_place() -> None:
    made = network(in_force="prune levels")
    header = {"network": {"backbone": "8x8s4-8x4s2-8x3s1-32", "shape": list(SHAPE), "actions": ACTIONS}}
    packed = read(write(header, coded_state(made), named=False), shapes_of)
    for name, tensor in coded_state(made).items():
        np.testing.assert_array_equal(packed.tensors[name].values(), tensor.values(), err_msg=name)


class Odd(nn.Module):
    """Tensors of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ScaledConv2d((2, 5, 5), 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.bare = nn.Parameter(torch.linspace(-1, 1, 6).view(2, 3))
        self.register_buffer("passing", torch.ones(4), persistent=False)
        self.out = nn.Linear(3, 2)
        nn.init.constant_(self.out.bias, 0.1)


def odd() -> Odd:
    torch.manual_seed(1)
    made = Odd()
    made.first.mean.copy_(torch.rand(1, 5, 5).expand(2, 5, 5) * 255)
    made.norm.running_var.copy_(torch.tensor([1e-4, 1.0, 300.0]))
    made.norm.running_mean.copy_(torch.tensor([0.001, 2.0, -70.0]))
    return made


def test_weights_are_matrices_and_kernels_by_that_name() -> None:
    made = odd()
    assert [name for name, _ in weights(made)] == ["first", "out"]
    assert list(plain_state(made)) == list(made.state_dict())


def test_each_kind_of_tensor_is_stored_by_what_it_needs() -> None:
    made = odd()
    stored, plain = coded_state(made), plain_state(made)
    exact = ("first.weight", "first.scale", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    for name in (*exact, "norm.weight", "norm.bias", "out.bias"):
        np.testing.assert_array_equal(stored[name].values(), plain[name], err_msg=name)
    assert stored["norm.weight"].kind == stored["out.bias"].kind == "constant"  # ones, and 0.1
    mean = stored["first.mean"]
    assert mean.predicted and mean.repeated
    np.testing.assert_array_equal(mean.values(), np.rint(plain["first.mean"].numpy()))
    assert stored["bare"].kind == "levels"


def test_a_channel_of_small_variance_stays_what_it_is() -> None:
    made = odd().eval()
    changed = {name: torch.from_numpy(np.array(tensor.values())) for name, tensor in coded_state(made).items()}
    x = torch.randn(4, 3, 6, 6) * made.norm.running_var.sqrt()[:, None, None] + made.norm.running_mean[:, None, None]
    before: Tensor = made.norm(x)
    made.load_state_dict(changed)
    assert torch.equal(made.norm(x), before)


def test_a_mean_frame_that_is_no_image_has_levels() -> None:
    made = odd()
    made.first.mean.sub_(200)
    stored = coded_state(made)["first.mean"]
    assert not stored.predicted
    assert np.abs(stored.values() - made.first.mean.numpy()).max() <= 0.51 * float(made.first.mean.abs().max()) / 127


def test_layers_are_chosen_by_their_names_or_ends() -> None:
    made = network()
    everything = [name for name, _ in weights(made)]
    assert everything == ["backbone.conv.0", "backbone.conv.2", "backbone.conv.4", "backbone.fc", "advantage"]
    assert [name for name, _ in chosen(made, ())] == everything
    assert [name for name, _ in chosen(made, ("fc", "backbone.conv.2"))] == ["backbone.conv.2", "backbone.fc"]
    with pytest.raises(ConfigError, match=r"no layer is named 'c'; layers: backbone\.conv\.0, .*, advantage"):
        chosen(made, ("fc", "c"))
    with pytest.raises(ConfigError, match="no weight matrix"):
        chosen(nn.Sequential(nn.BatchNorm1d(3)), ())


def test_a_single_layer_is_a_network_too() -> None:
    layer = nn.Linear(4, 3)
    names = list(layer.state_dict())
    levels.quantize(chosen(layer, ()), 4)
    assert list(plain_state(layer)) == list(coded_state(layer)) == names
    np.testing.assert_array_equal(coded_state(layer)["weight"].values(), layer.weight.detach())


def test_what_is_in_force_is_listed_in_order() -> None:
    layer = network(in_force="prune levels").advantage
    assert [type(step) for step in parametrizations(layer)] == [pruning.Pruned, levels.Levels]
    assert parametrizations(nn.Linear(2, 2)) == []
