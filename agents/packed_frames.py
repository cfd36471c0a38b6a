"""Bytes and microseconds that a packed frame takes, of random play and of a policy's own.

    python -m agents.packed_frames
    python -m agents.packed_frames --games Pong --policies --chunk 16 64 256

Plays games, packs the frames of each environment in chunks as they would be sent or kept, unpacks them and compares
every pixel. Coders take turns, so that a busy machine is busy for all of them; times are medians over the rounds of the
processor's time. Writes a row for each game, kind of play, coder and chunk into results/packed_frames.csv.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
    # Seed of the play.
    seed: Seed = 0
    # Folder of packed_frames.csv.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse chunks longer than the play, and games without frames. Raises: ConfigError, UnknownEnvError."""
        super().__post_init__()
        if (longest := max(self.chunk, default=0)) > self.frames:
            raise ConfigError(f"--frames {self.frames} make no chunk of {longest}: give --frames {longest} or more")
        for game in self.games:
            if not names.is_atari(names.resolve(game)):
                raise ConfigError(f"--games {game}: only Atari games have frames to pack, such as Pong")


def played(config: Config) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield game, kind of play and its frames (N, T, 1, H, W) uint8, one after the other. Raises: CheckpointError."""
    from agents.compression.policy_file import PackedPolicy
    from agents.training.env_runner import VectorEnvRunner
    from rl_gen_lab.compute.seeding import Generators

    generators = Generators(config.seed)
    for game in config.games:
        runner = VectorEnvRunner(names.resolve(game), config.num_envs, EnvConfig(), generators)
        actions, rng = int(runner.action_space.n), generators.numpy("play")  # type: ignore[attr-defined]
        yield game, "random", _frames(runner, lambda obs, n=actions, r=rng: r.integers(n, size=len(obs)), config)
    for file in config.policies:
        packed = PackedPolicy.read(file)
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


@command
def main(argv: list[str] | None = None) -> None:
    """Measure, print, write the CSV."""
    config = cli(Config, argv)
    if zstandard() is None:
        print("the package zstandard is not installed (make setup): zlib alone is measured")
    rows: list[Row] = []
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
