"""Controls are made from the very frames and outputs that the method gets, and need no trained weight."""

from __future__ import annotations

import torch
from explained_models import curved
from torch import Tensor

from rl_gen_lab.explain.controls import controlled, frame_difference, random_map, untrained
from rl_gen_lab.explain.gradient_maps import gradient
from rl_gen_lab.explain.model import Explained


def test_controls_are_computed_from_the_same_frames_and_outputs() -> None:
    model, frames, chosen = curved()
    seen: list[tuple[Tensor, Tensor]] = []

    def method(asked: Explained, x: Tensor, c: Tensor) -> Tensor:
        seen.append((x, c))
        return gradient(asked, x, c)

    found = controlled(method, model, frames, chosen)
    assert len(seen) == 2 and all(x is frames and c is chosen for x, c in seen)
    torch.testing.assert_close(found.own, gradient(model, frames, chosen))
    torch.testing.assert_close(found.twin, gradient(untrained(model, 1), frames, chosen))
    torch.testing.assert_close(found.free["distance from mean"], (frames - model.baseline).abs())
    other = controlled(method, model, frames.flip(0), chosen)
    assert not torch.allclose(other.free["frame difference"], found.free["frame difference"])


def test_the_difference_of_frames_is_each_less_the_one_before() -> None:
    model, *_ = curved()
    frames = torch.tensor([1.0, 4.0, 2.0]).view(1, 3, 1, 1)
    assert frame_difference(model, frames).flatten().tolist() == [3.0, 3.0, 2.0]
    single = torch.full((1, 1, 12, 12), 0.6, dtype=torch.float64)
    assert float(frame_difference(model, single).max()) == 0.5  # no frame before: the distance from the baseline


def test_a_random_map_is_the_same_for_a_seed() -> None:
    model, frames, _ = curved()
    assert torch.equal(random_map(model, frames, 1), random_map(model, frames, 1))
    assert not torch.equal(random_map(model, frames, 1), random_map(model, frames, 2))
