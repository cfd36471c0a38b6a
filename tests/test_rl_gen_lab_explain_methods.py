"""Every method in a world where the network cheats: it looks at a small tag, and the large object does not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained_models import AROUND_TAG, OBJECT, hans_world, region

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.controls import distance_from_mean
from rl_gen_lab.explain.localization import located
from rl_gen_lab.explain.methods import METHODS, chosen_methods, method_of


def lifts(maps: torch.Tensor) -> tuple[float, float, float]:
    """Lift of the tag with what a window reaches, lift of the object, share of maps that point at the tag."""
    tag, thing = (located(maps, region(where).expand(len(maps), 1, -1, -1)) for where in (AROUND_TAG, OBJECT))
    rows = np.arange(len(maps))
    return tag.lift(rows), thing.lift(rows), float(tag.hit.mean())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_finds_what_the_network_looks_at_and_not_what_stands_out(name: str) -> None:
    model, frames, chosen = hans_world()
    tag, thing, points = lifts(method_of(name)(model, frames, chosen))
    assert points == 1.0
    assert tag > 3 * thing


def test_a_map_without_a_network_is_fooled() -> None:
    model, frames, _ = hans_world()
    tag, thing, points = lifts(distance_from_mean(model, frames))
    assert points == 0.0 and thing > tag


def test_names_of_methods() -> None:
    assert chosen_methods("all") == list(METHODS) and chosen_methods("lrp") == ["lrp"]
    assert chosen_methods("lrp,blur,lrp") == ["lrp", "blur"]
    with pytest.raises(ConfigError, match=r"no method 'gradcam'; there are gradient, .* Did you mean 'grad-cam'"):
        chosen_methods("gradcam")


def test_a_layer_is_grad_cams_alone() -> None:
    model, frames, chosen = hans_world(1)
    with pytest.raises(ConfigError, match="no convolution 'nowhere'"):
        method_of("grad-cam", "nowhere")(model, frames, chosen)
    method_of("gradient", "nowhere")(model, frames, chosen)
