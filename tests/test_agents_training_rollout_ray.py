"""Actors of Ray: the same transitions and weights, replaced when killed, errors told, all ended with the learner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from actor_cases import CASES, CONTINUOUS, WEIGHTS
from frozen_play import agent_of, assert_same, environments, play, played, with_actors
from launched_actors import ROOT, WORDS

from agents.training.rollout_backends import ActorEnded
from agents.training.rollout_ray import connected, ended
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.folder import RunFolder

MISSING = 'needs the extra ray: .venv/bin/python -m pip install -c constraints.txt -e ".[ray]"'


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One Ray for all tests: it starts in some seconds."""
    pytest.importorskip("ray", reason=MISSING)
    module, leave = connected("local", 2, 200_000_000)
    yield module
    leave()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frames", "resumed"])
def test_they_play_the_transitions_of_actors_here(ray: Any, name: str) -> None:
    assert_same(*(CASES[name](backend) for backend in ("local", "ray")))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(WEIGHTS))
def test_an_agent_learns_the_same_weights_from_them(ray: Any, name: str) -> None:
    here, there = (CASES[name](backend) for backend in ("local", "ray"))
    assert torch.equal(here[0], there[0]) and here[1] == there[1]
    assert there[2]["rollouts/lag_updates_max"] == here[2]["rollouts/lag_updates_max"]
    assert all(0 < there[2][f"rollouts/{who}_percent"] < 100 for who in ("actors_wait", "learner_waits"))


@pytest.mark.slow
def test_free_actors_are_ahead_by_the_queue(ray: Any) -> None:
    assert CASES["free"]("ray") == 3


@pytest.mark.slow
def test_killed_actors_are_replaced_and_nothing_is_lost_or_counted_twice(ray: Any) -> None:
    expected, said, rng = played(with_actors(CONTINUOUS, "local", 2, lag=1), 36), list[str](), np.random.default_rng()
    config = with_actors(CONTINUOUS, "ray", 2, lag=1)
    runner = environments(config, said.append)
    agent = agent_of(config, runner)

    def kill(row: int) -> None:
        if row in (3, 18):
            os.kill(runner._intake._actors.pids[rng.integers(2)], signal.SIGKILL)

    found = play(agent, runner, 36, at=kill)
    totals, pids = runner.totals(), runner._intake._actors.pids
    runner.close()
    assert totals["rollouts/actors_replaced"] == 2 and totals["rollouts/dropped_steps"] == 0
    assert said[0].startswith("actor ") and ": replaced; it repeats" in said[0] and "\n" not in said[0]
    assert_same(expected, found)
    until = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.slow
def test_an_error_of_an_environment_is_told_with_its_actor(ray: Any) -> None:
    said = CASES["broken"]("ray")
    assert said.startswith(("actor 0: environment breaking_env", "actor 1: environment breaking_env"))


@pytest.mark.slow
def test_more_actors_than_processors_are_refused(ray: Any) -> None:
    with pytest.raises(ConfigError, match=r"Ray has 2 processors for 3 actors: --rollouts.actors 2"):
        connected("local", 3, 0)


@pytest.mark.slow
def test_a_run_hears_this_machine_alone_and_leaves_nothing_when_it_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=MISSING)
    command = [sys.executable, "-m", "agents.ppo", *WORDS, "--rollouts.backend", "ray", "--runs-dir", str(tmp_path)]
    with (tmp_path / "output").open("w") as output:
        learner = subprocess.Popen([*command, "--total-env-steps", "9999999"], cwd=ROOT, stdout=output, stderr=output)
    try:
        until = time.monotonic() + 120
        while not any(RunFolder(f.parent).read_metrics() for f in tmp_path.glob("*/metrics.jsonl")):
            assert learner.poll() is None and time.monotonic() < until, (tmp_path / "output").read_text()
            time.sleep(0.1)
        family = psutil.Process(learner.pid).children(recursive=True)
        # Two helpers of Ray first try for a minute to tell the others that are gone.
        agents = {each.pid for each in family if each.name() in ("ray::DashboardAgent", "ray::RuntimeEnvAgent")}
        sockets = [socket for each in family for socket in each.net_connections("inet") if socket.status == "LISTEN"]
        assert sockets and {socket.laddr.ip for socket in sockets} <= {"127.0.0.1", "::ffff:127.0.0.1"}, sockets
    finally:
        learner.kill()
        learner.wait()
    _, alive = psutil.wait_procs([each for each in family if each.pid not in agents], timeout=30)
    assert not alive


class Gone(Exception):
    """As Ray's RayActorError."""

    actor_init_failed = False


def test_what_ray_says_of_a_lost_actor_becomes_one_line() -> None:
    text = (
        "The actor died unexpectedly before finishing this task.\n\tclass_name: RayWorker\n\tactor_id: 12\nThe actor is"
        " dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker"
        " unexpectedly exits with a connection error code 2. End of file. There are some potential root causes."
    )
    found = ended(1, Gone(text))
    assert isinstance(found, ActorEnded)
    assert str(found) == "actor 1 ended: Worker unexpectedly exits with a connection error code 2"
    error = Gone("The actor died because of an error raised in its creation task\nModuleNotFoundError: No module 'x'")
    error.actor_init_failed = True
    found = ended(0, error)
    assert isinstance(found, ConfigError) and "(ModuleNotFoundError: No module 'x'): start Ray on each" in str(found)
