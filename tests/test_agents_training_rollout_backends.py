"""Actors in processes of their own: the same transitions and weights, replaced when killed, errors told, all freed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from actor_cases import CONTINUOUS, FOUR, PIXELS
from frozen_play import agent_of, assert_same, environments, play, played, weights_after, with_actors
from policy_gradient_configs import PPO

from agents.training import rollout_backends
from agents.training.env_runner import EnvStepError
from agents.training.rollout_backends import ActorEnded, refuse_small_shared_memory
from agents.training.rollout_intake import MOST_DEATHS, ActorsEndedError
from rl_gen_lab.cli.errors import ConfigError

pytestmark = pytest.mark.slow
SECONDS = 300


@pytest.fixture(autouse=True)
def time_out() -> Iterator[None]:
    """End a test that hangs, with its processes, which end with it."""

    def end() -> None:
        sys.stderr.write(f"not done after {SECONDS} s\n")
        os._exit(1)

    timer = threading.Timer(SECONDS, end)
    timer.start()
    yield
    timer.cancel()


@pytest.mark.parametrize("config", [CONTINUOUS, PIXELS], ids=["numbers", "frames"])
def test_processes_play_the_transitions_of_actors_here(config: Any) -> None:
    rows = 2 * config.rollout_steps + 3
    here, there = (played(with_actors(config, backend, 2), rows) for backend in ("local", "processes"))
    assert_same(here, there)


def test_actors_end_by_closing_alone_and_leave_no_process_and_no_shared_memory() -> None:
    runner = environments(with_actors(FOUR, "processes", 2))
    agent = agent_of(FOUR, runner)
    play(agent, runner, 3)
    actors = runner._intake._actors
    for pid in actors.pids:  # as a terminal does at Ctrl-C, which the learner alone answers
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    play(agent, runner, 9)
    assert runner.totals()["rollouts/actors_replaced"] == 0
    names, pids = [memory.name for memory in (*actors._memory, actors._weights)], actors.pids
    runner.close()
    runner.close()  # a second time does nothing
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("config", "lag"), [(replace(PPO, num_envs=4), 0), (replace(FOUR, vtrace=True, lstm_units=8), 1)]
)
def test_an_agent_learns_the_same_weights_from_processes(config: Any, lag: int) -> None:
    here, there = (weights_after(with_actors(config, backend, 2, lag=lag), 4) for backend in ("local", "processes"))
    assert torch.equal(here[0], there[0])
    assert here[1].episodes == there[1].episodes
    assert there[2]["rollouts/lag_updates_max"] == here[2]["rollouts/lag_updates_max"]
    assert 0 < there[2]["rollouts/actors_wait_percent"] < 100 and 0 < there[2]["rollouts/learner_waits_percent"] < 100


@pytest.mark.parametrize("config", [FOUR, CONTINUOUS], ids=["discrete", "continuous"])
def test_killed_actors_are_replaced_and_nothing_is_lost_or_counted_twice(config: Any) -> None:
    """The transitions are those of actors that nobody killed, though the actors were ahead of the learner."""
    expected, said, rng = played(with_actors(config, "local", 2, lag=1), 36), list[str](), np.random.default_rng()
    config = with_actors(config, "processes", 2, lag=1)
    runner = environments(config, said.append)
    agent = agent_of(config, runner)

    def kill(row: int) -> None:
        if row in (3, 18):
            os.kill(runner._intake._actors.pids[rng.integers(2)], signal.SIGKILL)

    found = play(agent, runner, 36, at=kill)
    totals = runner.totals()
    runner.close()
    assert totals["rollouts/actors_replaced"] == 2 and totals["rollouts/dropped_steps"] == 0
    assert said[0].startswith("actor ") and "ended with exit code -9: replaced; it repeats" in said[0]
    assert_same(expected, found)


def test_free_actors_give_each_chunk_once_and_in_order_though_one_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_actors(replace(FOUR, vtrace=True), "processes", 2, lag="free", queue=2)
    runner = environments(config)
    agent = agent_of(config, runner)
    play(agent, runner, 8)
    intake, seen = runner._intake, list[list[dict[str, Any]]]()
    collect = intake.collect

    def spy() -> Any:
        ready, chunks = collect()
        seen.append(chunks)
        return ready, chunks

    monkeypatch.setattr(intake, "collect", spy)

    def kill(row: int) -> None:
        if row == 20:
            os.kill(intake._actors.pids[1], signal.SIGKILL)

    found = play(agent, runner, 80, at=kill)
    totals = runner.totals()
    runner.close()
    assert len(seen) == 10 and totals["rollouts/actors_replaced"] == 1 and totals["rollouts/queue_percent"] > 0
    for number in range(2):
        versions = [int(chunks[number]["version"]) for chunks in seen]
        assert versions == sorted(versions)
        # Each chunk goes on where the one before ended, also where another process played it.
        ends = [chunks[number]["obs"] for chunks in seen]
        assert all(np.array_equal(one[-1], next_one[0]) for one, next_one in pairwise(ends))
    assert sum(len(step.action) for step, _ in found) == 80 * 4


def test_a_stopped_actor_is_replaced_and_a_slow_one_is_waited_for() -> None:
    config = replace(FOUR, run=replace(FOUR.run, rank_timeout_seconds=2.0))
    expected, said = played(with_actors(config, "local", 2), 20), list[str]()
    config = with_actors(config, "processes", 2)
    runner = environments(config, said.append)
    agent = agent_of(config, runner)

    def stop(row: int) -> None:
        if row == 4:
            time.sleep(3.0)  # longer than the time: both wait for orders, and live
        if row == 12:
            os.kill(runner._intake._actors.pids[1], signal.SIGSTOP)

    found = play(agent, runner, 20, at=stop)
    runner.close()
    assert len(said) == 2 and said[0].startswith("actor 1 ended: no sign of life for 2 s: replaced; it repeats ")
    assert_same(expected, found)


def test_an_actor_that_ends_again_and_again_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_actors(FOUR, "processes", 2)
    runner = environments(config)
    agent = agent_of(config, runner)
    play(agent, runner, 8)
    actors, deaths = runner._intake._actors, list[int]()

    def always(seconds: float) -> Any:
        deaths.append(1)
        raise ActorEnded(1, -9)

    monkeypatch.setattr(actors, "receive", always)
    monkeypatch.setattr(actors, "replace", lambda number: None)
    message = "actor 1 ended with exit code -9, 4 times without a chunk: is there memory for it"
    with pytest.raises(ActorsEndedError, match=message):
        play(agent, runner, 8)
    assert len(deaths) == MOST_DEATHS + 1
    runner.close()


def test_an_error_of_an_environment_is_told_with_its_actor() -> None:
    config = with_actors(replace(FOUR, env="breaking_env:Breaks-v0"), "processes", 2)
    runner = environments(config)
    try:
        with pytest.raises(EnvStepError, match=r"actor \d: environment .*it raised"):
            play(agent_of(config, runner), runner, 200)
    finally:
        runner.close()


def test_too_little_shared_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_small_shared_memory(1_000)
    with pytest.raises(ConfigError, match=r"take 1,000,000,000 MB of shared memory, .* --shm-size"):
        refuse_small_shared_memory(10**15)
    monkeypatch.setattr(rollout_backends, "SHARED_MEMORY", Path("/nowhere"))
    refuse_small_shared_memory(10**15)
