"""What the learner sends to an actor arrives as it was, and an actor ends with its learner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from chunk_layouts import NUMBERS
from policy_gradient_configs import A2C
from torch import nn

from agents.rl.on_policy_actor import make_network
from agents.training import rollout_gloo, rollout_gloo_actor
from agents.training.metadata import RunSpec
from agents.training.rollout_actor import Recipe, Start
from agents.training.rollout_gloo import GlooActors, Kind
from agents.training.rollout_gloo_actor import act, start_of
from envs.factory import make_env


class FakeLine:
    """Keeps what is sent; the other process ends at once."""

    sent: list[tuple[Kind, list[int], Any]]

    def __init__(self, peer: int, patience: Any = None) -> None:
        self.sent = []

    def send(self, kind: Kind, *numbers: int, data: Any = None, patience: Any = None) -> None:
        self.sent.append((kind, [*numbers], data))

    def receive(self, place: Any = None) -> tuple[Kind, list[int], torch.Tensor]:
        return Kind.END, [0] * 6, torch.zeros(0, dtype=torch.uint8)


class LostLine(FakeLine):
    """The other process was killed."""

    def receive(self, place: Any = None) -> tuple[Kind, list[int], torch.Tensor]:
        raise RuntimeError("Connection closed by peer")


def recipe() -> Recipe:
    env = make_env(A2C.env)
    network = make_network(A2C, env.observation_space, env.action_space)
    env.close()
    return Recipe(RunSpec.resolve("actor_critic", A2C), 0, 0, 2, 6, network, 1, torch.no_grad, packed=True)


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("mind", [None, np.arange(20, dtype=np.uint8)])
def test_where_an_actor_begins_arrives(rows: int, mind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_gloo, "Line", FakeLine)
    shape = (rows, NUMBERS.envs, *NUMBERS.action_shape)
    actions = np.arange(np.prod(shape)).reshape(shape).astype(NUMBERS.action_dtype)
    actors = GlooActors([recipe()], nn.Linear(2, 2), NUMBERS, 1, 3)
    actors.begin(0, Start(4, 17, actions, mind))
    kind, numbers, data = actors._lines[0].sent[-1]  # type: ignore[attr-defined]
    found = start_of(NUMBERS, numbers, data.numpy())
    assert kind == Kind.START and (found.restarts, found.steps) == (4, 17)
    assert np.array_equal(found.actions, actions) and found.actions.dtype == actions.dtype
    assert found.mind is None if mind is None else np.array_equal(found.mind, mind)  # type: ignore[arg-type]


@pytest.mark.parametrize("line", [FakeLine, LostLine])
def test_an_actor_ends_when_the_learner_says_so_and_when_it_is_gone(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(rollout_gloo_actor, "Line", line)
    monkeypatch.setattr(rollout_gloo_actor.signal, "signal", lambda *_: None)
    act(0, 60, lambda: ended.append("ended"))
    assert ended == ["ended"]
