"""Bytes and microseconds that a packed frame takes, of random play and of a policy's own.

    python -m agents.packed_frames
    python -m agents.packed_frames --games Pong --policies --chunk 16 64 256
    python -m agents.packed_frames --games Pong --policies --transitions 100000

Plays games, packs the frames of each environment in chunks as they would be sent or kept, unpacks them and compares
every pixel. Coders take turns, so that a busy machine is busy for all of them; times are medians over the rounds of the
processor's time. Writes a row for each game, kind of play, coder and chunk into results/packed_frames.csv; with
`--transitions`, in place of that, a row for a plain and one for a packed replay memory into results/packed_replay.csv.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Interval

from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert
from agents.rl.packed_frames import FramePacker, zstandard
from agents.training.cli import cli, command
from envs import names
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Ranged, Seed
from rl_gen_lab.cli.shell import short

if TYPE_CHECKING:
    from agents.training.env_runner import VectorEnvRunner

Row = dict[str, Any]
LEAST_TRANSITIONS, BATCH = 256, 32  # of replay memories, of a minibatch
BAR_BYTES, BAR_MICROSECONDS = 100, 5  # of a frame of Pong, to pack it or to unpack it


@dataclass(frozen=True)
class Config(Ranged):
    """Measure packed frames."""

    # Games of which random play is packed.
    games: tuple[str, ...] = ("Pong", "Breakout")
    # Packed policies, FILE.rlz, whose own play is packed too; none behind the flag: random play alone.
    policies: tuple[Path, ...] = (Path("models/pong.rlz"),)
    # Frames of a chunk.
    chunk: tuple[Annotated[int, Interval(ge=1, le=4_096)], ...] = (16, 64)
    # Frames of each environment.
    frames: Annotated[int, Interval(ge=1, le=100_000)] = 2_048
    # Environments of each game, played side by side and packed apart.
    num_envs: Annotated[int, Interval(ge=1, le=64)] = 4
    # Rounds of which medians are taken.
    rounds: Annotated[int, Interval(ge=1, le=10_000)] = 7
    # Fill a replay memory of so many transitions of the first game twice, plain and packed (--replay.packed of dqn),
    # and measure these instead; 0: no.
    transitions: Annotated[int, Interval(ge=0, le=1_000_000)] = 0
    # Seed of the play.
    seed: Seed = 0
    # Folder of packed_frames.csv.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse chunks longer than the play, and games without frames. Raises: ConfigError, UnknownEnvError."""
        super().__post_init__()
        if (longest := max(self.chunk, default=0)) > self.frames:
            raise ConfigError(f"--frames {self.frames} make no chunk of {longest}: give --frames {longest} or more")
        if self.transitions and (not self.games or self.transitions < LEAST_TRANSITIONS):
            raise ConfigError(f"--transitions takes {LEAST_TRANSITIONS} or more, and a game")
        for game in self.games:
            if not names.is_atari(names.resolve(game)):
                raise ConfigError(f"--games {game}: only Atari games have frames to pack, such as Pong")


def played(config: Config) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield game, kind of play and its frames (N, T, 1, H, W) uint8, one after the other. Raises: CheckpointError."""
    from agents.compression.policy_file import PackedPolicy
    from agents.training.env_runner import VectorEnvRunner
    from rl_gen_lab.compute.seeding import Generators

    generators = Generators(config.seed)
    policies = [(file, PackedPolicy.read(file)) for file in config.policies]  # a bad file is refused before the play
    for game in config.games:
        runner = VectorEnvRunner(names.resolve(game), config.num_envs, EnvConfig(), generators)
        actions, rng = int(runner.action_space.n), generators.numpy("play")  # type: ignore[attr-defined]
        yield game, "random", _frames(runner, lambda obs, n=actions, r=rng: r.integers(n, size=len(obs)), config)
    for file, packed in policies:
        runner = VectorEnvRunner(packed.env, config.num_envs, packed.world, generators)
        yield names.short_name(packed.env), short(file), _frames(runner, packed.policy.act, config)


def _frames(runner: VectorEnvRunner, act: Any, config: Config) -> np.ndarray:
    """Play on and keep the newest frame of each observation."""
    shape = runner.observation_space.shape
    assert shape is not None
    frames = np.empty((config.num_envs, config.frames, 1, *shape[1:]), np.uint8)
    title = f"playing {names.short_name(runner.env_id)}"
    try:
        with ProgressDisplay(title, config.frames * config.num_envs, "frames") as display:
            for step in range(config.frames):
                frames[:, step] = runner.obs[:, -1:]
                runner.step(act(runner.obs))
                display.update((step + 1) * config.num_envs, "")
    finally:
        runner.close()
    return frames


def measure(frames: np.ndarray, config: Config) -> list[Row]:
    """Pack, unpack and compare; return a row for each coder and chunk."""
    shape = frames.shape[2:]
    packers = [FramePacker(shape, "zlib")] + ([FramePacker(shape, "zstd")] if zstandard() is not None else [])
    ways = [(packer, chunk) for chunk in dict.fromkeys(config.chunk) for packer in packers]
    sizes = [0] * len(ways)
    times: list[list[tuple[float, float]]] = [[] for _ in ways]
    with ProgressDisplay("packing", config.rounds * len(ways), "passes") as display:
        for number in range(config.rounds * len(ways)):
            place = number % len(ways)
            sizes[place], *found = _pass(frames, *ways[place])
            times[place].append((found[0], found[1]))
            display.update(number + 1, "")
    rows = []
    for (packer, chunk), size, pairs in zip(ways, sizes, times, strict=True):
        pack, unpack = (statistics.median(side) for side in zip(*pairs, strict=True))
        count = frames.shape[0] * (frames.shape[1] // chunk * chunk)
        row: Row = {"coder": f"xor + {packer.coder} 1", "chunk": chunk, "bytes a frame": round(size / count, 1)}
        row |= {"times smaller": round(packer.frame_bytes * count / size, 1)}
        row |= {"us to pack": round(1e6 * pack / count, 2), "us to unpack": round(1e6 * unpack / count, 2)}
        rows.append(row | {"frames": count, "rounds": config.rounds})
    return rows


def _pass(frames: np.ndarray, packer: FramePacker, chunk: int) -> tuple[int, float, float]:
    """Return the bytes of all whole chunks, and the seconds of processor time to pack and to unpack them."""
    size, pack, unpack = 0, 0.0, 0.0
    for of_env in frames:
        for begin in range(0, len(of_env) - chunk + 1, chunk):
            piece = of_env[begin : begin + chunk]
            start = time.process_time()
            data = packer.pack(piece)
            middle = time.process_time()
            back = packer.unpack(data, chunk)
            end = time.process_time()
            assert np.array_equal(back, piece)
            size, pack, unpack = size + len(data), pack + middle - start, unpack + end - middle
    return size, pack, unpack


def measure_replay(config: Config) -> list[Row]:
    """Fill a plain and a packed memory with the same play, draw the same minibatches from both, in turns.

    Beside them, the time of an update of the network "small" with each minibatch, by one thread. Raises: ConfigError.
    """
    import torch

    from agents.rl.q_networks import QNetwork
    from agents.rl.replay import Replay
    from agents.training.env_runner import VectorEnvRunner
    from rl_gen_lab.compute.memory_budget import free_bytes
    from rl_gen_lab.compute.seeding import Generators

    cpu = torch.device("cpu")
    torch.set_num_threads(1)
    generators = Generators(config.seed)
    runner = VectorEnvRunner(names.resolve(config.games[0]), config.num_envs, EnvConfig(), generators)
    shape, actions = runner.observation_space.shape, int(runner.action_space.n)  # type: ignore[attr-defined]
    assert shape is not None
    sizes = (config.transitions, config.num_envs, (1, *shape[1:]), torch.uint8, shape[0], cpu, 0.0, free_bytes(cpu))
    memories = {"plain": Replay(*sizes), "packed": Replay(*sizes, packed=True)}
    writing, rng = dict.fromkeys(memories, 0.0), generators.numpy("play")
    steps = memories["plain"].length * 5 // 4  # the ring is overwritten by a quarter
    with ProgressDisplay("filling both memories", steps * config.num_envs, "steps") as display:
        for number in range(steps):
            step, _ = runner.step(rng.integers(actions, size=config.num_envs))
            flags = (step.terminated, step.truncated, step.value_ends, step.first, step.dummy)
            arrays = (np.ascontiguousarray(step.obs[:, -1:]), step.action, step.reward, *flags)
            tensors = [torch.from_numpy(array) for array in arrays]
            for name, memory in memories.items():
                writing[name] += _seconds(partial(memory.push, *tensors))[0]
            display.update((number + 1) * config.num_envs, "")
    runner.close()
    network = QNetwork("small", tuple(shape), actions, False)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def update(batch: Any) -> None:
        optimizer.zero_grad()
        chosen = network(batch.obs_tm1).gather(1, batch.action_tm1[:, None])[:, 0]
        (chosen - batch.reward_t).square().mean().backward()
        optimizer.step()

    drawing: dict[str, list[float]] = {name: [] for name in memories}
    updates: list[float] = []
    for number in range(20 * config.rounds + 3):
        batches = []
        for name, memory in memories.items():
            generator = torch.Generator().manual_seed(number)
            seconds, batch = _seconds(partial(memory.sample, BATCH, 3, 0.99, generator))
            drawing[name].append(seconds)
            batches.append(batch)
        assert all(torch.equal(getattr(batches[0], field), getattr(batches[1], field)) for field in vars(batches[0]))
        updates.append(_seconds(partial(update, batches[0]))[0])
    own = 1e3 * statistics.median(updates[3:])  # the first take memory
    rows = []
    for name, memory in memories.items():
        drawn = 1e3 * statistics.median(drawing[name][3:])
        row: Row = {"game": config.games[0], "memory": name, "transitions": len(memory)}
        row |= {
            "MB": round(memory.size_bytes / 1e6, 1),
            "bytes a transition": round(memory.size_bytes / len(memory), 1),
        }
        row |= {"us to write a transition": round(1e6 * writing[name] / (steps * config.num_envs), 1)}
        row |= {f"ms to draw {BATCH}": round(drawn, 2), "ms of an update": round(own, 2)}
        rows.append(row | {"drawing and update, ms": round(drawn + own, 2), "seed": config.seed})
    return rows


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor's time that a piece of work took [s], and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


@command
def main(argv: list[str] | None = None) -> None:
    """Measure, print, write the CSV."""
    config = cli(Config, argv)
    if config.transitions:
        rows = [row | provenance_of_command("agents.packed_frames") for row in measure_replay(config)]
        upsert(config.results_dir / "packed_replay.csv", rows, key=("game", "memory", "transitions"), in_place=True)
        for row in rows:
            print("   ".join(f"{row[name]} {name}" for name in list(row)[1:9]))
        return
    if zstandard() is None:
        print("the package zstandard is not installed (make setup): zlib alone is measured")
    rows = []
    for game, play, frames in played(config):
        for row in measure(frames, config):
            rows.append({"game": game, "play": play} | row | {"seed": config.seed})
            within = (
                row["bytes a frame"] <= BAR_BYTES and max(row["us to pack"], row["us to unpack"]) <= BAR_MICROSECONDS
            )
            print(
                f"{game:10} {play:18} {row['coder']:12} {row['chunk']:5} {row['bytes a frame']:8.1f} bytes"
                f" {row['us to pack']:7.2f} us to pack {row['us to unpack']:7.2f} to unpack"
                f"   {'within' if within else 'over'} {BAR_BYTES} bytes and {BAR_MICROSECONDS} us"
            )
    rows = [row | provenance_of_command("agents.packed_frames") for row in rows]
    key = ("game", "play", "coder", "chunk")
    upsert(config.results_dir / "packed_frames.csv", rows, key=key, in_place=True)


if __name__ == "__main__":
    main()
