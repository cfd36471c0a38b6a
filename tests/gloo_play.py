"""What the processes of one `torchrun` do in the tests of actors by gloo. Argument: the file for what was played."""

from __future__ import annotations

import pickle
import sys
import time
from dataclasses import replace
from pathlib import Path

import actor_cases
from actor_cases import FOUR
from frozen_play import agent_of, environments, play, with_actors

from agents.training import rollout_gloo
from agents.training.config import RunConfig
from agents.training.rollout_gloo_actor import act
from agents.training.rollout_pulse import BEATS
from rl_gen_lab.distributed.group import RankLostError, joined
from rl_gen_lab.distributed.ranks import Ranks


def waited_for(backend: str) -> str:
    """What is said of actors that are waited for longer than the time-out, without anything to play."""
    runner = environments(with_actors(replace(FOUR, run=RunConfig(rank_timeout_seconds=4)), backend, 2))
    play(agent_of(FOUR, runner), runner, 3)
    until = time.monotonic() + 5
    try:
        while time.monotonic() < until:
            runner._intake._actors.receive(0.1)
    except RankLostError as error:
        return str(error)
    finally:
        runner.close()
    return "they live"


CASES = actor_cases.CASES | {"living": waited_for, "silent": waited_for}
ACTS = {name: 2 if name == "resumed" else 1 for name in CASES}  # how often actors are made


def main() -> None:
    """Process 0 plays all cases, the others are its actors."""
    ranks, found = Ranks.of(), {}
    rollout_gloo.END_SECONDS = 120.0  # actors of the next case use the same lines: all must have ended
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
