"""How long a packed policy takes for a decision, by engine, beside the agent that it was made from; and what it scores.

    python -m agents.latency models/pong.rlz
    python -m agents.latency models/pong.rlz --beside runs/dqn__Pong__1__20260101-120000 --episodes 20

Engines take turns, so that a busy machine is busy for all of them; times are medians of a single observation with one
thread. ONNX Runtime needs the extra `onnx` (part of `make setup`); its 8 bits are calibrated on the policy's own play.
Writes a row for each engine into results/latency.csv.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from annotated_types import Interval

from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert
from agents.training.cli import cli, command
from rl_gen_lab.cli.settings import Count, DeviceConfig, Ranged, Seed
from rl_gen_lab.cli.shell import short

if TYPE_CHECKING:
    from rl_gen_lab.compression.latency import Latency

Row = dict[str, Any]


@dataclass(frozen=True)
class Config(Ranged):
    """Measure a packed policy on several engines."""

    # A packed policy, FILE.rlz.
    file: Annotated[Path, tyro.conf.Positional]
    # Run folder of the agent that it was made from, to be measured in turns with it.
    beside: Path | None = None
    # Turns of which the median is taken.
    rounds: Annotated[int, Interval(ge=1, le=1_000_000)] = 200
    # Whole games of each engine of the file; 0: none.
    episodes: Annotated[int, Interval(ge=0, le=100_000)] = 0
    # Frames that calibrate the 8 bits.
    frames: Count = 512
    # Also measure a fully connected layer of 3,136 x 512 alone, in float32 and with signs for weights and inputs.
    layer: bool = False
    # Seed of the play and of the games.
    seed: Seed = 5_000_000
    # Folder of latency.csv.
    results_dir: Path = Path("results")


def measure(config: Config) -> list[Row]:
    """Return a row for each engine. Raises: CheckpointError, ConfigError."""
    from agents.compression import engines
    from agents.compression.objective import scored
    from agents.compression.policy_file import PackedPolicy
    from agents.compression.teacher import Teacher
    from rl_gen_lab.compression import latency
    from rl_gen_lab.compute import devices

    devices.setup(DeviceConfig(device="cpu"))
    packed = PackedPolicy.read(config.file)
    teacher = None if config.beside is None else Teacher.of(config.beside)
    frames = engines.frames_of_play(packed, config.frames, config.seed)
    with tempfile.TemporaryDirectory() as folder:
        own = engines.engines_of(packed, Path(folder), frames)
        beside = {} if teacher is None else engines.teacher_engines(teacher)
        times = latency.measure(own | beside, frames[:1], config.rounds)
        rows = []
        for name, time in times.items():
            row = _row(short(config.file), name, time)
            if config.episodes and name in own:
                policy = engines.policy_of(own[name])
                found = scored(policy, packed.env, packed.world, packed.epsilon, config.episodes, config.seed)
                row |= {key: found[key] for key in ("score", "score_error", "episodes")}
            rows.append(row | {"rounds": config.rounds, "bytes": packed.size_bytes})
    if config.layer:
        made, example = engines.layer_engines(config.seed)
        for name, time in latency.measure(made, example, config.rounds).items():
            rows.append(_row(engines.LAYER, name, time) | {"rounds": config.rounds, "bytes": engines.layer_bytes(name)})
    return rows


def _row(file: str, engine: str, time: Latency) -> Row:
    row: Row = {"file": file, "engine": engine, "ms": round(time.process_ms, 4), "wall_ms": round(time.wall_ms, 4)}
    return row | {"score": "", "score_error": "", "episodes": ""}


@command
def main(argv: list[str] | None = None) -> None:
    """Measure, print, write the CSV."""
    config = cli(Config, argv)
    rows = [row | provenance_of_command("agents.latency") for row in measure(config)]
    upsert(config.results_dir / "latency.csv", rows, key=("file", "engine"), sort=("file", "engine"))
    for row in rows:
        score = f"   score {row['score']:.2f} over {row['episodes']} games" if row["episodes"] else ""
        slowest = max(other["ms"] for other in rows if other["file"] == row["file"])
        times = f"{slowest / row['ms']:5.1f} times as fast as the slowest"
        print(f"{row['engine']:32} {row['ms']:8.4f} ms   {times}{score}")


if __name__ == "__main__":
    main()
