"""A thousand fake actors against the learner's intake: what comes through, whether all of it, and in how much memory.

    python -m agents.scale_load
    python -m agents.scale_load --actors 100 --seconds 5 --what "mine"

Chunks of a game are recorded first; then fake actors, many in a process, send them over sockets of this machine as
fast as they are ordered, and the intake of `agents/training` receives, checks, unpacks and joins them into rollouts,
which nobody learns from. Opens no port but on the loopback address. Adds a row to results/scale_load.csv.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert
from agents.training.cli import cli, command
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Ranged, Seed

if TYPE_CHECKING:
    from agents.training.rollout_chunks import ChunkLayout, ChunkReader
    from agents.training.rollout_intake import Intake

KEY = ("what", "game", "actors", "chunk_steps", "ahead", "feeders", "seconds", "seed")
MEGABYTE = 1e6


@dataclass(frozen=True)
class Config(Ranged):
    """Send recorded chunks to the learner's intake."""

    # Words that name this measurement in the table.
    what: str = "load"
    # Fake actors, each with a connection of its own.
    actors: Annotated[int, Interval(ge=1, le=10_000)] = 1_000
    # Processes that they share.
    feeders: Annotated[int, Interval(ge=1, le=64)] = 1
    # Seconds that are measured.
    seconds: Annotated[float, Interval(ge=0.5, le=3_600)] = 60.0
    # Steps of a chunk, of one copy of the environment.
    chunk_steps: Annotated[int, Interval(ge=1, le=1_024)] = 64
    # Chunks that are ordered of each actor at once.
    ahead: Annotated[int, Interval(ge=1, le=16)] = 2
    # Chunks that are unpacked and joined at once, as for a minibatch.
    join_chunks: Annotated[int, Interval(ge=1, le=10_000)] = 32
    # Rollouts between restarts, which end the record of actions that the intake keeps to replace actors by.
    restart_rollouts: Annotated[int, Interval(ge=1, le=1_000_000)] = 20
    # The game whose chunks are sent, played by an untrained policy.
    game: str = "Pong"
    # Different chunks of it.
    recorded_chunks: Annotated[int, Interval(ge=1, le=1_000)] = 8
    # Seed of the game.
    seed: Seed = 0
    # Folder of scale_load.csv.
    results_dir: Path = Path("results")


def recorded(config: Config) -> tuple[ChunkLayout, list[bytes]]:
    """Record chunks as an actor of actor_critic plays them. Raises: UnknownEnvError, UnusableEnvError."""
    from contextlib import nullcontext

    import torch

    from agents import actor_critic
    from agents.experiments.fake_actors import recorded_chunks
    from agents.rl.on_policy_actor import make_network
    from agents.training.metadata import RunSpec
    from agents.training.rollout_actor import Recipe
    from envs.factory import make_env

    spec = RunSpec.resolve("actor_critic", actor_critic.Config(env=config.game, seed=config.seed))
    env = make_env(config.game)
    torch.manual_seed(config.seed)
    network = make_network(actor_critic.Config(), env.observation_space, env.action_space)
    env.close()
    recipe = Recipe(spec, 0, 0, 1, config.chunk_steps, network, 1, nullcontext, packed=True)
    return recorded_chunks(recipe, config.recorded_chunks)


def measure(config: Config) -> dict[str, Any]:
    """Let the fake actors send for so many seconds; return the row, without provenance. Raises: ConnectionError."""
    from agents.experiments.fake_actors import raise_file_limit, serve_fakes
    from agents.training.rollout_chunks import ChunkReader
    from agents.training.rollout_intake import Intake
    from agents.training.rollout_meter import RolloutMeter
    from agents.training.rollout_sockets import SocketActors, listen

    layout, chunks = recorded(config)
    raise_file_limit(config.actors + 100)
    meter, context = RolloutMeter(), multiprocessing.get_context("spawn")
    with listen(config.actors) as listener, ExitStack() as stack:
        shares = [config.actors // config.feeders + (k < config.actors % config.feeders) for k in range(config.feeders)]
        for number, share in enumerate(shares):
            first = number * config.recorded_chunks // config.feeders
            feeder = context.Process(target=serve_fakes, args=(listener.address, share, first, chunks), daemon=True)
            feeder.start()
            stack.callback(feeder.join, 10.0)
        actors = SocketActors(layout, listener, config.actors)
        reader = ChunkReader(layout)
        intake = Intake(actors, config.actors, config.ahead, reader, meter, print)
        stack.callback(intake.close)
        counts = drive(intake, reader, config)
        received = actors.received_bytes
    steps, taken = counts["steps"], counts["chunks"]
    dropped = meter.dropped_steps // config.chunk_steps
    row = {name: getattr(config, name) for name in KEY} | {"steps_per_second": round(steps / counts["took"])}
    row |= {"chunks": taken, "dropped_chunks": dropped, "lost_chunks": counts["ordered"] - taken - dropped}
    row |= {"bytes_per_step": round(received / ((taken + dropped) * config.chunk_steps), 1)}
    row |= {"mb_per_second": round(received / MEGABYTE / counts["took"], 2)}
    row |= {"memory_mb_early": counts["early_mb"], "memory_mb_end": counts["end_mb"]}
    return row | {"processor_percent": round(100 * counts["processor"] / counts["took"])}


def drive(intake: Intake, reader: ChunkReader, config: Config) -> dict[str, Any]:
    """Collect rollouts for so many seconds, and at last all that is ordered; count orders, chunks and steps."""
    import numpy as np

    nothing, rollouts, ordered, steps, early = np.zeros((0, config.actors), np.int64), 0, 0, 0, 0.0
    begun, processor = time.perf_counter(), time.process_time()
    with ProgressDisplay("scale_load", int(config.seconds), "seconds") as display:
        while (passed := time.perf_counter() - begun) < config.seconds or rollouts == 0:
            if rollouts % config.restart_rollouts == 0:
                intake.restart(rollouts // config.restart_rollouts, steps // config.actors, nothing, None)
            while intake.ordered < config.ahead:
                intake.order(config.chunk_steps, newest=True)
                ordered += config.actors
            chunks = intake.collect()[1]
            for place in range(0, len(chunks), config.join_chunks):
                steps += reader.join(chunks[place : place + config.join_chunks])["reward"].size
            rollouts += 1
            if not early and passed > config.seconds / 5:
                early = resident_mb()
            display.update(int(passed), f"{steps:,} steps")
    took, busy, end = time.perf_counter() - begun, time.process_time() - processor, resident_mb()
    while intake.ordered:  # nothing may be under way when chunks are counted
        intake.collect()
        rollouts += 1
    counts = {"steps": steps, "ordered": ordered, "chunks": rollouts * config.actors, "took": took, "processor": busy}
    return counts | {"early_mb": early or end, "end_mb": end}


def resident_mb() -> float:
    """Return the memory of this process now [MB]."""
    import psutil

    return round(psutil.Process().memory_info().rss / MEGABYTE, 1)


@command
def main(argv: list[str] | None = None) -> None:
    """Measure, print, write the CSV."""
    config = cli(Config, argv)
    row = measure(config)
    upsert(
        config.results_dir / "scale_load.csv",
        [row | provenance_of_command("agents.scale_load")],
        key=KEY,
        in_place=True,
    )
    print("   ".join(f"{row[name]:,} {name}" for name in list(row)[len(KEY) :]))


if __name__ == "__main__":
    main()
