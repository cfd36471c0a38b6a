"""Layers by name and at any size, units by number, and the best of real frames."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis.subject import Subject, best_of, checked_units


def subject() -> Subject:
    torch.manual_seed(0)
    first = ScaledConv2d((2, 8, 8), 3, 3)
    frames = torch.randint(0, 256, (9, 2, 8, 8), dtype=torch.uint8)
    first.standardize(frames)
    network = nn.Sequential(first, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(108, 4)).requires_grad_(False)
    return Subject(network, network, network, ("up", "down", "left", "right"), first.mean.clone(), frames, None, 1)


def test_layers_are_seen_before_their_relu_and_what_follows_is_not_computed() -> None:
    one = subject()
    maps = one.maps("0", one.frames.float())
    assert maps.shape == (9, 3, 6, 6) and maps.min() < 0
    assert one.maps("0", torch.rand(1, 2, 20, 16)).shape == (1, 3, 18, 14)  # which the fully connected layer refuses
    assert one.network[0].mean.shape == (2, 8, 8)  # type: ignore[index, union-attr]
    assert one.maps("3", one.frames.float()).shape == (9, 4) and one.layers() == ["0", "3"]
    with pytest.raises(ConfigError, match=r"no layer 'conv'; there are 0, 3\."):
        one.maps("conv", one.frames.float())


def test_units_are_channels_neurons_and_outputs_less_the_others() -> None:
    one = subject()
    frames = one.frames.float()
    maps, outputs = one.maps("0", frames), one.network(frames)
    for unit, single, wanted, name in (
        (1, False, maps[:, 1].mean((1, 2)), "0, unit 1"),
        (1, True, maps[:, 1, 3, 3], "0, neuron 1"),
    ):
        said, value = one.value("0", unit, single)
        assert said == name and torch.allclose(value(frames), wanted)
    said, value = one.value(None, 2)
    assert said == "left" and torch.allclose(value(frames), outputs[:, 2] - outputs[:, [0, 1, 3]].mean(1), atol=1e-5)
    assert torch.allclose(one.value("3", 2)[1](frames), outputs[:, 2])
    with pytest.raises(ConfigError, match="layer 0 has no unit 3: 0 to 2"):
        one.value("0", 3)
    with pytest.raises(ConfigError, match="no output 4: 0 up, 1 down"):
        one.value(None, 4)


def test_the_best_frame_is_that_of_the_largest_value() -> None:
    one = subject()
    _, value = one.value("0", 0)
    values = value(one.frames.float())
    frame, best, spread = best_of(value, one.frames)
    assert torch.equal(frame, one.frames[int(values.argmax())]) and best == pytest.approx(float(values.max()))
    assert spread == pytest.approx(float(values.std()))
    assert checked_units((), 9) == [0, 1, 2, 3] and checked_units((5, 2, 5), 9) == [5, 2]
