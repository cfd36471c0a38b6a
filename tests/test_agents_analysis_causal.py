"""The causal check: an object that a network looks at has an effect, and the map that says so agrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from packed_agents import pong_frames, pong_gap
from torch import nn

from agents.analysis.causal import Effects, agreement, effects, stacked
from rl_gen_lab.explain.model import Explained
from rl_gen_lab.explain.statistics import spearman

NAMES = ("ball", "player", "enemy")


def test_an_effect_is_the_mean_change_when_the_object_is_moved() -> None:
    kept, model = pong_frames(), pong_gap()
    found = effects(model, kept, NAMES)
    row = next(i for i, one in enumerate(kept) if any(key[0] == "player" for key in one.moved))
    one = kept[row]
    changes = []
    for key, frames in one.moved.items():
        if key[0] == "player":
            both = torch.from_numpy(np.stack([one.moved["", 0.0], frames])).float()
            still, moved = model.scores(both, torch.full((2,), one.seen.action)).tolist()
            changes.append(abs(moved - still))
    assert found.by_object["player"][row] == pytest.approx(np.mean(changes), rel=1e-4)


def test_a_network_that_sees_the_right_edge_alone_is_moved_by_the_player_alone() -> None:
    """The planted answer: whatever is written into the emulator, only the right paddle matters."""
    kept = pong_frames()
    right = Explained(
        nn.Identity(), lambda net, x, c: (x[..., 72:78] - 87).square().sum((1, 2, 3)) / 1e4, torch.zeros(4, 84, 84)
    )
    top = Explained(nn.Identity(), lambda net, x, c: x[..., :10, :].sum((1, 2, 3)), torch.zeros(4, 84, 84))
    found = effects(right, kept, NAMES).by_object
    assert np.nanmean(found["player"]) > 10 * np.nanmean(found["enemy"])
    assert np.nanmax(effects(top, kept, NAMES).by_object["player"]) == pytest.approx(0.0, abs=1e-4)


def test_agreement_is_the_rank_correlation_over_frames_and_objects_that_are_there() -> None:
    effect = {"a": np.array([1.0, 2.0, np.nan]), "b": np.array([5.0, 6.0, 7.0])}
    mass = {"a": np.array([0.1, 0.2, 9.0]), "b": np.array([0.5, 0.6, 0.7])}
    found = Effects(effect, np.array([0, 0, 1]))
    value, low, high = agreement(found, mass)
    assert value == 1.0 and low <= high
    turned = {name: -values for name, values in mass.items()}
    assert agreement(found, turned)[0] == -1.0
    assert spearman(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])) == 1.0


def test_frames_become_a_batch() -> None:
    frames, chosen = stacked(pong_frames())
    assert frames.shape == (len(chosen), 4, 84, 84) and frames.dtype == torch.float32
