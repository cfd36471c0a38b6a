"""Grad-CAM against its formula, and layers that are not there."""

from __future__ import annotations

import pytest
import torch
from explained_models import Linear, curved, explained
from torch import nn
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.grad_cam import checked_layer, grad_cam, layer_names


def test_the_map_is_that_of_the_formula() -> None:
    model, frames, chosen = curved()
    network = model.network
    maps = network.conv[:3](frames).detach().requires_grad_()  # type: ignore[index,operator]
    out = network.head(network.fc(maps.relu().flatten(1)).relu())  # type: ignore[operator]
    others = (out.sum(1) - out.gather(1, chosen[:, None])[:, 0]) / 2
    (gradients,) = torch.autograd.grad((out.gather(1, chosen[:, None])[:, 0] - others).sum(), maps)
    small = (gradients.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu().detach()
    expected = F.interpolate(small, (12, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(grad_cam(model, frames, chosen, "conv.2"), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_relu_in_place_does_not_change_what_is_kept(frozen: bool) -> None:
    model, frames, chosen = curved()
    expected = grad_cam(model, frames, chosen)
    for index in (1, 3):
        model.network.conv[index] = nn.ReLU(inplace=True)  # type: ignore[index,operator]
    model.network.requires_grad_(not frozen)
    torch.testing.assert_close(grad_cam(model, frames, chosen), expected)


def test_a_layer_that_does_not_exist_is_named_with_those_that_do() -> None:
    model, frames, chosen = curved()
    assert layer_names(model.network) == ["conv.0", "conv.2"]
    with pytest.raises(ConfigError, match=r"no convolution 'conv\.1' in this network; there are conv\.0, conv\.2"):
        grad_cam(model, frames, chosen, "conv.1")
    with pytest.raises(ConfigError, match="needs a convolution"):
        checked_layer(Linear((1, 4, 4)), None)


def test_a_layer_that_does_not_matter_is_refused() -> None:
    model, frames, chosen = curved()
    unused = explained(model.network, (2, 12, 12))
    aside = type(unused)(
        unused.network, lambda net, x, c: (net(x).detach() + x.sum((1, 2, 3))[:, None])[:, 0], unused.baseline
    )
    with pytest.raises(ConfigError, match="does not depend on the layer"):
        grad_cam(aside, frames.requires_grad_(), chosen)
