"""What an agent with a frozen policy plays through actors, and what it learns, for tests of the rollouts' parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from fake_run import FakeRun

from agents.rl.interfaces import Episode, Step
from agents.training.config import RolloutsConfig
from agents.training.metadata import RunSpec
from agents.training.rollouts import ActorRollouts
from agents.training.start import environments_of
from rl_gen_lab.compute.seeding import Generators

Played = list[tuple[Step, list[Episode]]]


def environments(config: Any, say: Callable[[str], None] = lambda line: None) -> Any:
    """The environments of a run, as its settings say who plays them."""
    spec = RunSpec.resolve(type(config).__module__.rpartition(".")[2], config)
    return environments_of(spec, config, Generators(config.seed), 0, say)


def with_actors(config: Any, backend: str = "local", actors: int = 1, **settings: Any) -> Any:
    """The settings with actors; those of one local actor would be no actors at all, so its queue is another."""
    rollouts = RolloutsConfig(backend=backend, actors=actors, **{"queue": 3} | settings)  # type: ignore[arg-type]
    return replace(config, rollouts=rollouts)


def agent_of(config: Any, runner: Any) -> Any:
    """An agent with the first weights of its seed."""
    return import_module(type(config).__module__).make_agent(config, FakeRun(config, env_runner=runner))


def play(agent: Any, runner: Any, rows: int, at: Callable[[int], None] = lambda row: None) -> Played:
    """Let an agent play without learning. at: called before each row."""
    actor, played = agent.actor, []
    for row in range(rows):
        at(row)
        step, episodes = runner.play(actor)
        played.append((copied(step), episodes))
        actor.observe(step)
        if actor.buffer.full:
            actor.next_rollout()
    return played


def copied(step: Step) -> Step:
    return Step(**{name: np.array(value) for name, value in vars(step).items()})


def played(config: Any, rows: int) -> Played:
    """What an agent plays without learning."""
    runner = environments(config)
    try:
        return play(agent_of(config, runner), runner, rows)
    finally:
        runner.close()


def assert_same(one: Played, other: Played) -> None:
    """All fields of all transitions are equal, bit for bit, in value and type."""
    assert len(one) == len(other) > 0
    for row, ((a, episodes), (b, others)) in enumerate(zip(one, other, strict=True)):
        for name in vars(a):
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == y.dtype and np.array_equal(x, y), (row, name, x, y)
        assert episodes == others, row


def weights_after(config: Any, updates: int) -> tuple[torch.Tensor, FakeRun, dict[str, float]]:
    """The weights after so many rollouts of learning by the agent's own loop; the run; the totals of its actors."""
    runner = environments(config)
    run = FakeRun(config, lambda run: run.learnings >= updates, env_runner=runner)
    try:
        import_module(type(config).__module__).train(config, run)
        totals = runner.totals() if isinstance(runner, ActorRollouts) else {}
    finally:
        runner.close()
    return torch.cat([p.detach().flatten() for p in run.network.parameters()]), run, totals
