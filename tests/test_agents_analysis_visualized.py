"""An agent as a subject: its actions by name, frames of its play, and games without truth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from packed_agents import FILE

from agents.analysis import visualized
from agents.play import Config, Play
from rl_gen_lab.cli.errors import ConfigError


@pytest.mark.slow
def test_the_packed_policy_of_pong_has_its_actions_frames_and_reachable_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play.of(Config(run=Path(FILE)))
    subject = visualized.subject_of(play.env, play.world, play.policy, 6, 2, 60, 6_000_000, True)
    assert subject.names[:3] == ("NOOP", "FIRE", "RIGHT") and subject.depth == 1
    assert subject.frames.shape[1:] == (4, 84, 84) and subject.mean.flatten(1).std(1).min() > 0
    assert subject.reachable is not None and len(subject.reachable) > len(subject.frames)
    frames = subject.frames[:3].float()
    outputs = subject.outputs(frames)
    values = subject.network(frames)
    assert torch.equal(outputs.argmax(1), values.argmax(1))
    wanted = values - (values.sum(1, keepdim=True) - values) / (values.shape[1] - 1)
    assert torch.allclose(outputs, wanted, atol=1e-4)
    assert subject.maps("backbone.conv.2", frames).shape[:2] == (3, 16)


@pytest.mark.slow
def test_frames_that_can_be_reached_need_the_truth_of_the_game(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play.of(Config(run=Path(FILE)))

    def no_truth(*args: object) -> None:
        raise ConfigError("no truth of this game")

    monkeypatch.setattr(visualized, "Witness", no_truth)
    with pytest.raises(ConfigError, match="no truth of this game; --no-reachable does without"):
        visualized.subject_of(play.env, play.world, play.policy, 6, 2, 60, 0, True)
    played = visualized.subject_of(play.env, play.world, play.policy, 5, 1, 20, 6_000_000, False)
    assert len(played.frames) == 5 and played.reachable is None
