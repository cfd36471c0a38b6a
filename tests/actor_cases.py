"""What actors of a run play and learn, in cases that every backend must give alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from frozen_play import agent_of, environments, play, played, weights_after, with_actors
from policy_gradient_configs import A2C, PPO

from agents.training.config import PolicyConfig
from agents.training.env_runner import EnvStepError
from envs.config import EnvConfig

FOUR: Any = replace(A2C, num_envs=4)
CONTINUOUS = replace(FOUR, env="Pendulum", policy=PolicyConfig("mlp_small", noise_hold_steps=3))
PIXELS = replace(FOUR, env="Pong", policy=PolicyConfig("tiny"), world=EnvConfig(noop_max=5))
WEIGHTS = {"ppo, lag 0": (replace(PPO, num_envs=4), 0), "lstm, lag 1": (replace(FOUR, vtrace=True, lstm_units=8), 1)}


def transitions(config: Any, backend: str, **settings: Any) -> Any:
    return played(with_actors(config, backend, 2, **settings), 2 * config.rollout_steps + 3)


def learned(case: tuple[Any, Any], backend: str) -> Any:
    """Weights after four rollouts, episodes, totals."""
    weights, run, totals = weights_after(with_actors(case[0], backend, 2, lag=case[1]), 4)
    return weights, run.episodes, totals


def resumed(backend: str) -> Any:
    """What is played after eleven rows by actors that were made anew."""
    config = with_actors(CONTINUOUS, backend, 2)
    runner = environments(config)
    agent = agent_of(config, runner)
    play(agent, runner, 11)
    saved, of_agent = runner.state_dict(), agent.actor.state_dict()
    runner.close()
    again = environments(config)
    twin = agent_of(config, again)
    twin.actor.load_state_dict(of_agent)
    again.load_state_dict(saved)
    rows = play(twin, again, 21)
    again.close()
    return rows


def broken(backend: str) -> str:
    """What is said of an environment that raises."""
    try:
        played(with_actors(replace(FOUR, env="breaking_env:Breaks-v0"), backend, 2), 200)
    except EnvStepError as error:
        return str(error)
    return "nothing was raised"


def ahead(backend: str) -> float:
    """How many chunks of each actor are ready where the lag is free and the learner waits for as many as may be."""
    runner = environments(with_actors(replace(FOUR, vtrace=True), backend, 2, lag="free", queue=3))
    play(agent_of(FOUR, runner), runner, 8)
    intake, until = runner._intake, time.monotonic() + 60
    while any(len(own.ready) < 3 for own in intake._received) and time.monotonic() < until:
        intake._receive(0.1)
    ready, _ = intake.collect()
    runner.close()
    return float(ready)


CASES: dict[str, Callable[[str], Any]] = {
    "frames": lambda backend: transitions(PIXELS, backend),
    **{name: lambda backend, c=case: learned(c, backend) for name, case in WEIGHTS.items()},
    "free": ahead,
    "resumed": resumed,
    "broken": broken,
}
