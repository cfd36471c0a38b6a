"""Actors by gloo in processes of a torchrun: the same transitions and weights; one that is lost is named."""

from __future__ import annotations

import os
import pickle
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import actor_cases
import pytest
import torch
from frozen_play import assert_same
from launched_actors import WORDS, LaunchedActors, runs_on
from safetensors.torch import load_file
from several_processes import TESTS, torchrun

from agents import ppo
from agents.training import rollout_gloo
from agents.training.rollout_gloo import Kind, Line
from rl_gen_lab.runs.folder import RunFolder

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes by /proc")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What actors of other processes played and learned, of all cases in one start of processes."""
    file = tmp_path_factory.mktemp("gloo") / "found"
    torchrun(str(TESTS / "gloo_play.py"), str(file), processes=3)
    cases: dict[str, Any] = pickle.loads(file.read_bytes())
    return cases


@pytest.mark.parametrize("name", ["frames", "resumed"])
def test_they_play_the_transitions_of_actors_here(found: dict[str, Any], name: str) -> None:
    assert_same(actor_cases.CASES[name]("local"), found[name])


@pytest.mark.parametrize("name", list(actor_cases.WEIGHTS))
def test_an_agent_learns_the_same_weights_from_them(found: dict[str, Any], name: str) -> None:
    here, there = actor_cases.CASES[name]("local"), found[name]
    assert torch.equal(here[0], there[0]) and here[1] == there[1]
    assert there[2]["rollouts/lag_updates_max"] == here[2]["rollouts/lag_updates_max"]


def test_who_waits_for_whom_is_measured(found: dict[str, Any]) -> None:
    for name in actor_cases.WEIGHTS:
        totals = found[name][2]
        assert all(0 < totals[f"rollouts/{who}_percent"] < 100 for who in ("actors_wait", "learner_waits"))


def test_free_actors_are_ahead_by_the_queue(found: dict[str, Any]) -> None:
    assert found["free"] == 3


def test_an_error_of_an_environment_is_told_with_its_actor(found: dict[str, Any]) -> None:
    assert found["broken"].startswith(("actor 0: environment breaking_env", "actor 1: environment breaking_env"))
    assert found["broken"].endswith("the fifth step")


def test_an_actor_is_given_up_where_it_gives_no_sign_of_life_and_not_where_it_is_slow(found: dict[str, Any]) -> None:
    assert found["living"] == "they live"
    assert "lost actor 0, process 1 of 3" in found["silent"] and "no sign of life for 4 s" in found["silent"]


def test_that_an_actor_ends_is_its_last_message(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(rollout_gloo.dist, "isend", lambda tensor, peer: sent.append(int(tensor[0])))
    monkeypatch.setattr(rollout_gloo, "_wait", lambda work, patience: None)
    line = Line(0)
    line.send(Kind.CHUNK, 3)
    line.send(Kind.END)
    line.send(Kind.ERROR, data=torch.ones(4, dtype=torch.uint8))  # an environment that broke while the actor was ended
    assert sent == [Kind.CHUNK, Kind.END]


@needs_proc
def test_a_killed_actor_is_named_and_after_a_restart_the_run_is_that_of_actors_here(tmp_path: Path) -> None:
    with LaunchedActors(tmp_path, "--total-env-steps", "5120", restarts=1) as launched:
        launched.wait_for_step(1024)
        os.kill(launched.pid(2), signal.SIGKILL)
        launched.wait_until(lambda: launched.process.poll() is not None)
    assert launched.process.returncode == 0, launched.said()
    assert "process 0 lost actor 1, process 2 of 3, which ended or did not answer in time" in launched.said()
    assert "resumed at step" in launched.said()
    ppo.main([*WORDS, "--total-env-steps", "5120", "--runs-dir", str(tmp_path / "here")])
    (one,), (other,) = ([RunFolder.open(run) for run in (tmp_path / name).iterdir()] for name in ("runs", "here"))
    weights, expected = (load_file(run.checkpoints / "last.safetensors") for run in (one, other))
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    for name in ("total_env_steps", "updates", "episodes"):
        assert one.read_result()[name] == other.read_result()[name]
    assert one.read_config()["ranks"]["size"] == 1


@needs_proc
def test_an_actor_that_is_stopped_is_named_in_time_and_all_end_with_the_learner(tmp_path: Path) -> None:
    with LaunchedActors(tmp_path, "--total-env-steps", "10000000", "--rank-timeout-seconds", "2") as launched:
        launched.wait_for_step(256)
        stopped, other = launched.pid(1), launched.pid(2)
        os.kill(stopped, signal.SIGSTOP)
        try:
            launched.wait_until(lambda: "error:" in launched.said(), 60)
        finally:
            with suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGKILL)
        launched.wait_until(lambda: launched.process.poll() is not None)
        launched.wait_until(lambda: not runs_on(other), 20)
    (line,) = [line for line in launched.said().splitlines() if "error:" in line]
    assert "lost actor 0, process 1 of 3, which ended or did not answer in time" in line
    assert launched.process.returncode != 0


@needs_proc
def test_actors_end_when_the_learner_is_killed(tmp_path: Path) -> None:
    with LaunchedActors(tmp_path, "--total-env-steps", "10000000") as launched:
        launched.wait_for_step(256)
        learner, *actors = (launched.pid(rank) for rank in range(3))
        os.kill(launched.process.pid, signal.SIGSTOP)  # so that it is not torchrun that ends them
        try:
            os.kill(learner, signal.SIGKILL)
            launched.wait_until(lambda: not any(map(runs_on, actors)), 20)
        finally:
            os.kill(launched.process.pid, signal.SIGCONT)
