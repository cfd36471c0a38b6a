"""Which channels go together: by hand for small networks, as the package torch-pruning finds them for backbones.

What cannot be followed is refused by name.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune

from rl_gen_lab.backbones import CONFIGURABLE
from rl_gen_lab.backbones.blocks import ChannelNorm, Scale
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_configured
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.channel_groups import Group, Slice
from rl_gen_lab.compression.structured import groups, prune_channels, remove

IMAGES = torch.zeros(2, 3, 6, 6)


class Written(nn.Module):
    """Layers by name, and what is done with them."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._forward = forward

    def forward(self, x: Tensor) -> Any:
        return self._forward(self, x)


def conv(channels: int, out: int, branches: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1, groups=branches)


def channels(found: list[Group], side: str = "outputs") -> list[dict[str, tuple[int, ...]]]:
    """Layer -> channels of each group."""
    return [{part.layer: part.index for part in getattr(group, side)} for group in found]


def test_a_chain_loses_a_row_here_and_a_column_there() -> None:
    network = nn.Sequential(conv(3, 2), nn.BatchNorm2d(2), nn.ReLU(), conv(2, 4))
    assert groups(network, IMAGES) == [
        Group((Slice("0", (i,), 2),), (Slice("1", (i,), 2),), (Slice("3", (i,), 2),)) for i in range(2)
    ]


def test_an_addition_couples_and_a_concatenation_shifts() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        x = net.a(x)
        x = x + F.relu(net.b(x))
        x += 1
        return net.d(torch.cat((net.c(x), x), 1))

    found = groups(Written(forward, a=conv(3, 2), b=conv(2, 2), c=conv(2, 3), d=conv(5, 1)), IMAGES)
    assert channels(found) == [{"a": (i,), "b": (i,)} for i in range(2)] + [{"c": (i,)} for i in range(3)]
    assert channels(found, "inputs") == [{"b": (i,), "c": (i,), "d": (3 + i,)} for i in range(2)] + [
        {"d": (i,)} for i in range(3)
    ]


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.flatten(1),
        lambda x: x.view(len(x), -1),
        lambda x: torch.flatten(x, 1),
        lambda x: x.flatten(2).reshape(2, -1),
    ],
)
def test_flattening_makes_a_block_of_inputs_of_a_channel(flatten: Callable[[Tensor], Tensor]) -> None:
    network = Written(lambda net, x: net.fc(flatten(net.a(x))), a=conv(3, 2), fc=nn.Linear(72, 1))
    assert channels(groups(network, IMAGES), "inputs") == [{"fc": tuple(range(36))}, {"fc": tuple(range(36, 72))}]


def test_row_and_column_means_are_followed() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        x = net.a(x)
        return net.fc(torch.cat([x.mean(3).flatten(1), x.mean(2).flatten(1)], 1))

    found = groups(Written(forward, a=conv(3, 2), fc=nn.Linear(2 * (6 + 5), 1)), torch.zeros(1, 3, 6, 5))
    assert channels(found, "inputs") == [
        {"fc": (*range(6), *range(12, 17))},
        {"fc": (*range(6, 12), *range(17, 22))},
    ]


def test_features_split_into_steps_and_environments_are_followed() -> None:
    network = Written(lambda net, x: net.b(net.a(x).view(2, 3, -1)), a=nn.Linear(4, 3), b=nn.Linear(3, 1))
    assert channels(groups(network, torch.zeros(6, 4)), "inputs") == [{"b": (i,)} for i in range(3)]


def test_a_stack_that_is_averaged_couples() -> None:
    network = Written(
        lambda net, x: net.c(torch.stack([net.a(x), net.b(x)]).mean(0)), a=conv(3, 2), b=conv(3, 2), c=conv(2, 1)
    )
    assert channels(groups(network, IMAGES)) == [{"a": (i,), "b": (i,)} for i in range(2)]


def test_branches_and_normalized_groups_go_whole() -> None:
    network = nn.Sequential(conv(3, 4), conv(4, 8, branches=2), nn.GroupNorm(4, 8), conv(8, 6), nn.GroupNorm(3, 6))
    network.append(conv(6, 1))
    found = groups(network, IMAGES)
    branches = [{"0": (0, 1), "1": (0, 1, 2, 3)}, {"0": (2, 3), "1": (4, 5, 6, 7)}]
    assert channels(found) == [*branches, {"3": (0, 1)}, {"3": (2, 3)}, {"3": (4, 5)}]
    assert channels(found, "inputs")[:2] == [{"3": (0, 1, 2, 3)}, {"3": (4, 5, 6, 7)}]  # none of the branches' own


@pytest.mark.parametrize("norm", [ChannelNorm(4), nn.LayerNorm([4, 6, 6]), nn.GroupNorm(1, 4)])
def test_channels_normalized_together_stay_or_go_together(norm: nn.Module) -> None:
    found = groups(nn.Sequential(conv(3, 2), conv(2, 4), norm, conv(4, 1)), IMAGES)
    assert channels(found)[:2] == [{"0": (i,)} for i in range(2)]
    assert channels(found)[2:] == ([{"1": (0, 1, 2, 3)}] if isinstance(norm, nn.GroupNorm) else [])


def test_layer_normalization_over_positions_alone_is_no_obstacle() -> None:
    assert len(groups(nn.Sequential(conv(3, 2), nn.LayerNorm(6), conv(2, 1)), IMAGES)) == 2


def test_outputs_and_what_is_added_to_inputs_stay() -> None:
    class Answer:
        def __init__(self, values: Tensor) -> None:
            self.values = values

    def forward(net: Any, x: Tensor) -> Any:
        hidden = net.b(x + net.a(x))
        return {"maps": [hidden], "answer": Answer(net.d(net.c(hidden)))}

    network = Written(forward, a=conv(3, 3), b=conv(3, 2), c=conv(2, 4), d=conv(4, 1))
    assert channels(groups(network, IMAGES)) == [{"c": (i,)} for i in range(4)]


def test_a_channel_that_is_added_to_all_others_stays() -> None:
    network = Written(lambda net, x: net.c(net.a(x) - net.b(x)), a=conv(3, 2), b=conv(3, 1), c=conv(2, 1))
    assert channels(groups(network, IMAGES)) == [{"a": (i,)} for i in range(2)]


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x.softmax(1),
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: x.chunk(2, 1)[0].repeat_interleave(2, 1),
        lambda x: torch.from_numpy(x.numpy()[:, ::-1].copy()),
        lambda x: x.view(2, 2, 2, 6, 6).flatten(1, 2),
    ],
)
def test_channels_that_are_mixed_without_weights_stay(mix: Callable[[Tensor], Tensor]) -> None:
    network = Written(lambda net, x: net.c(mix(net.b(net.a(x)))), a=conv(3, 2), b=conv(2, 4), c=conv(4, 1))
    assert channels(groups(network, IMAGES)) == [{"a": (i,)} for i in range(2)]


def test_a_layer_that_is_called_twice_couples_what_it_reads() -> None:
    twice = Written(lambda net, x: net.c(net.b(net.b(net.a(x)))), a=conv(3, 2), b=conv(2, 2), c=conv(2, 1))
    assert channels(groups(twice, IMAGES)) == [{"a": (i,), "b": (i,)} for i in range(2)]
    again = Written(
        lambda net, x: net.b(net.a(net.n(x)) + net.n(net.a(x))), a=conv(3, 3), b=conv(3, 1), n=nn.BatchNorm2d(3)
    )
    assert groups(again, IMAGES) == []  # the normalization reads the images too


def test_what_reads_no_channels_needs_not_be_known() -> None:
    network = nn.Sequential(Scale(torch.zeros(3), torch.ones(3)), nn.ConvTranspose2d(3, 3, 2), conv(3, 2), conv(2, 1))
    assert channels(groups(network, IMAGES)) == [{"2": (i,)} for i in range(2)]


def test_modes_and_hooks_are_as_before() -> None:
    network = nn.Sequential(conv(3, 2), nn.BatchNorm2d(2), nn.Dropout(0.5), conv(2, 1))
    network[1].eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    groups(network, IMAGES + 1)
    assert [module.training for module in network] == [True, False, True, True] and network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


class Gain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain


class OwnConvolution(nn.Conv2d):
    """Nobody knows what it does with its weight."""


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.ConvTranspose2d(2, 2, 1), r"conv_transpose2d in layer 'b' \(ConvTranspose2d\)"),
        (nn.InstanceNorm2d(2), r"instance_norm in layer 'b' \(InstanceNorm2d\)"),
        (nn.PReLU(2), r"prelu in layer 'b' \(PReLU\)"),
        (nn.PixelShuffle(1), r"pixel_shuffle in layer 'b' \(PixelShuffle\)"),
        (Gain(), r"mul in layer 'b' \(Gain\)"),
        (OwnConvolution(2, 2, 1), r"conv2d in layer 'b' \(OwnConvolution\)"),
        (nn.Linear(6, 6), r"linear over another axis than that of the channels in layer 'b' \(Linear\)"),
    ],
)
def test_a_layer_that_cannot_be_followed_is_refused_by_name(layer: nn.Module, named: str) -> None:
    network = Written(lambda net, x: net.c(net.b(net.a(x))), a=conv(3, 2), b=layer, c=conv(2, 1))
    with pytest.raises(ConfigError, match=named):
        groups(network, IMAGES)
    assert network.training and not any(module._forward_hooks for module in network.modules())


def test_functions_that_cannot_be_followed_are_refused_by_name() -> None:
    transposed = Written(lambda net, x: net.b(net.a(x).movedim(1, -1)), a=conv(3, 2), b=nn.Linear(2, 1))
    with pytest.raises(ConfigError, match=r"movedim in the network \(Written\)"):
        groups(transposed, IMAGES)
    recurrent = Written(lambda net, x: net.b(net.a(x))[0], a=nn.Linear(4, 3), b=nn.LSTM(3, 2))
    with pytest.raises(ConfigError, match=r"layer 'b' \(LSTM\)"):
        groups(recurrent, torch.zeros(5, 4))
    crossed = Written(lambda net, x: net.a(x).flatten(1) + net.a(x).flatten(2), a=conv(3, 72))
    with pytest.raises(ConfigError, match="cannot be followed"):
        groups(crossed, torch.zeros(1, 3, 1, 1))


def test_weights_that_are_shared_or_computed_are_refused() -> None:
    tied = Written(lambda net, x: net.b(net.a(x)), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    tied.b.weight = tied.a.weight
    with pytest.raises(ConfigError, match="'a' and 'b' share a weight"):
        groups(tied, torch.zeros(1, 4))
    computed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    parametrize.register_parametrization(computed[0], "weight", nn.Identity())
    with pytest.raises(ConfigError, match=r"'0' .* make that weight permanent"):
        groups(computed, torch.zeros(1, 4))
    masked = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    prune.identity(masked[1], "weight")
    with pytest.raises(ConfigError, match=r"'1' .* make that weight permanent"):
        groups(masked, torch.zeros(1, 4))


@pytest.fixture
def library() -> Iterator[Any]:
    """The package torch-pruning, which warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("torch_pruning")


def headed(name: str) -> tuple[nn.Sequential, Tensor]:
    """A backbone with a linear head, and frames."""
    shape = (4, 36, 36) if name == "nature" else (4, 16, 16)
    backbone = build_configured(name, shape, BackboneConfig(norm="batch") if name in CONFIGURABLE else None)
    features = backbone.out_features
    assert isinstance(features, int)
    return nn.Sequential(backbone, nn.Linear(features, 3)).eval(), torch.zeros(2, *shape, dtype=torch.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nature", "impala", "resnet", "densenet", "squeezenet", "fractalnet"])
def test_torch_pruning_removes_the_same_numbers(name: str, library: Any) -> None:
    network, x = headed(name)
    firsts = {group.outputs[0].layer: group for group in reversed(groups(network, x))}
    assert len(firsts) >= 4
    for layer, group in firsts.items():
        ours, other = copy.deepcopy(network), copy.deepcopy(network)
        remove(ours, [group])
        module = other.get_submodule(layer)
        prune = getattr(library, f"prune_{'conv' if isinstance(module, nn.Conv2d) else 'linear'}_out_channels")
        graph = library.DependencyGraph().build_dependency(other, example_inputs=x)
        graph.get_pruning_group(module, prune, idxs=list(group.outputs[0].index)).prune()
        expected, state = other.state_dict(), ours.state_dict()
        assert all(torch.equal(state[key], expected[key]) for key in expected)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize("name", ["nature", "impala", "resnet"])
def test_torch_pruning_gets_as_small(name: str, share: float, library: Any) -> None:
    network, x = headed(name)
    other, by = copy.deepcopy(network), library.importance.MagnitudeImportance()
    library.pruner.MagnitudePruner(other, x, importance=by, pruning_ratio=share, ignored_layers=[other[-1]]).step()
    prune_channels(network, x, share)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    assert shapes == {key: value.shape for key, value in other.state_dict().items()}
