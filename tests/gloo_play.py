"""What the processes of one `torchrun` do in the tests of actors by gloo. Argument: the file for what was played."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from frozen_play import agent_of, environments, play, played, weights_after, with_actors
from policy_gradient_configs import A2C, PPO

from agents.training.config import PolicyConfig, RunConfig
from agents.training.env_runner import EnvStepError
from agents.training.rollout_gloo import BEATS
from agents.training.rollout_gloo_actor import act
from envs.config import EnvConfig
from rl_gen_lab.distributed.group import RankLostError, joined
from rl_gen_lab.distributed.ranks import Ranks

FOUR: Any = replace(A2C, num_envs=4)
CONTINUOUS = replace(FOUR, env="Pendulum", policy=PolicyConfig("mlp_small", noise_hold_steps=3))
PIXELS = replace(FOUR, env="Pong", policy=PolicyConfig("tiny"), world=EnvConfig(noop_max=5))
TRANSITIONS = {"numbers": CONTINUOUS, "frames": PIXELS}
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


def waited_for(backend: str) -> str:
    """What is said of actors that are waited for longer than the time-out, without anything to play."""
    runner = environments(with_actors(replace(FOUR, run=RunConfig(rank_timeout_seconds=2)), backend, 2))
    play(agent_of(FOUR, runner), runner, 3)
    until = time.monotonic() + 3
    try:
        while time.monotonic() < until:
            runner._intake._actors.receive(0.1)
    except RankLostError as error:
        return str(error)
    finally:
        runner.close()
    return "they live"


CASES: dict[str, Callable[[str], Any]] = {
    **{name: lambda backend, c=config: transitions(c, backend) for name, config in TRANSITIONS.items()},
    "frames as they are": lambda backend: transitions(PIXELS, backend, packed=False),
    **{name: lambda backend, c=case: learned(c, backend) for name, case in WEIGHTS.items()},
    "free": lambda backend: learned((replace(FOUR, vtrace=True), "free"), backend),
    "resumed": resumed,
    "broken": broken,
    "living": waited_for,
    "silent": waited_for,
}
ACTS = {name: 2 if name == "resumed" else 1 for name in CASES}  # how often actors are made


def main() -> None:
    """Process 0 plays all cases, the others are its actors."""
    ranks, found = Ranks.of(), {}
    with joined(ranks, 120):
        for name, case in CASES.items():
            if ranks.leads:
                found[name] = case("gloo")
                continue
            for _ in range(ACTS[name]):
                # The last ones would give signs of life each hour only.
                act(ranks.rank - 1, 3600 * BEATS if name == "silent" else 2, lambda: None)
    if ranks.leads:
        Path(sys.argv[1]).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
