"""How fast and how large: our DQN beside Stable-Baselines3's at the same work, and the replay memory's real size.

    python -m agents.speed --env Pong

Both train the same network (`--backbone nature`) with the same batch, train period, environments and threads, without
options that only one of them has. The runs are interleaved, because other work on a machine comes and goes, and the
figure is the ratio of the medians. Writes results/speed.csv and results/replay_memory.csv.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from agents.commands import cli, command
from agents.learning_curves import describe_hardware
from agents.replay import Replay
from agents.rollout import Rollout
from agents.runner import RunFailedError, run_child
from envs.factory import EnvConfig
from envs.names import is_atari, resolve
from rl_gen_lab import devices
from rl_gen_lab.display import Display
from rl_gen_lab.errors import ConfigError
from rl_gen_lab.runs import RunFolder
from rl_gen_lab.seeding import Generators

TRANSITIONS = 100_000
UPDATE_EVERY_ENV_STEPS = 4


@dataclass(frozen=True)
class Config:
    """What to time, and how often."""

    # An Atari game.
    env: str = "Pong"
    # Pairs of runs; the median over pairs counts.
    pairs: int = 3
    # Agent steps of each run.
    steps: int = 4_000
    # Agent steps before learning begins; they are not timed.
    learning_starts: int = 1_000
    # Environments that step together, a multiple of 4.
    num_envs: int = 8
    # Threads of torch.
    threads: int = 1
    # Folder of the CSVs.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.pairs < 1 or self.steps < self.learning_starts + 500:
            raise ConfigError("pairs must be at least 1, and steps at least 500 more than learning_starts")
        if self.num_envs < 1 or self.num_envs % UPDATE_EVERY_ENV_STEPS:
            raise ConfigError(f"num_envs must be a multiple of {UPDATE_EVERY_ENV_STEPS}, not {self.num_envs}")
        if not is_atari(resolve(self.env)):
            raise ConfigError(f"env must be an Atari game, and {self.env} is none")


def commands(config: Config, root: Path) -> dict[str, list[str]]:
    """The two command lines that do the same work, by agent."""
    shared = ["--preset", "defaults", "--env", config.env, "--backbone", "nature", "--num-envs", str(config.num_envs)]
    shared += ["--total-env-steps", str(config.steps), "--threads", str(config.threads), "--device", "cpu"]
    shared += ["--log-every-env-steps", "500", "--no-film", "--wandb.mode", "disabled", "--eval.every-env-steps", "0"]
    shared += ["--eval.final-episodes", "1", "--world.max-episode-frames", "400"]
    ours = ["--n-step", "1", "--no-double", "--no-dueling", "--batch-size", "32", "--replay.capacity", "10000"]
    ours += ["--learning-starts-env-steps", str(config.learning_starts)]
    ours += ["--learn-every-env-steps", str(UPDATE_EVERY_ENV_STEPS)]
    theirs = ["--algo", "dqn", "--dqn.batch-size", "32", "--dqn.buffer-size", "10000", "--dqn.train-freq", "1"]
    theirs += ["--dqn.gradient-steps", str(config.num_envs // UPDATE_EVERY_ENV_STEPS)]
    theirs += ["--dqn.learning-starts", str(config.learning_starts)]
    python = [sys.executable, "-m"]
    return {
        "dqn": [*python, "agents.dqn", *shared, *ours, "--runs-dir", str(root / "dqn")],
        "sb3_dqn": [*python, "agents.sb3", *theirs, *shared, "--runs-dir", str(root / "sb3_dqn")],
    }


def learning_speed(run: RunFolder, learning_starts: int) -> float:
    """Median env steps/s of the lines of the record that lie wholly after the start of learning."""
    speeds = [
        line["charts/SPS"]
        for line in run.read_metrics()
        if "charts/SPS" in line and line["global_step"] >= learning_starts + 500
    ]
    return float(np.median(speeds))


def time_agents(config: Config) -> list[dict[str, object]]:
    """Rows of results/speed.csv: each run, then the ratio of the medians."""
    speeds: dict[str, list[float]] = {"dqn": [], "sb3_dqn": []}
    rows: list[dict[str, object]] = []
    work = f"nature network, batch 32, update every {UPDATE_EVERY_ENV_STEPS} steps, {config.num_envs} environments"
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(config.pairs):
            for agent, words in commands(config, Path(folder) / str(pair)).items():
                if code := run_child(words):
                    raise RunFailedError(f"{agent} ended with exit code {code}; see its output above")
                (path,) = (Path(folder) / str(pair) / agent).iterdir()
                speeds[agent].append(learning_speed(RunFolder(path), config.learning_starts))
                rows.append({"agent": agent, "pair": pair + 1, "env_steps_per_second": round(speeds[agent][-1], 1)})
    ratio = float(np.median(speeds["dqn"]) / np.median(speeds["sb3_dqn"]))
    rows.append({"agent": "dqn / sb3_dqn", "pair": "medians", "env_steps_per_second": round(ratio, 2)})
    print(f"{config.env}: ours / SB3 = {ratio:.2f} (medians of {config.pairs} interleaved pairs)")
    return [row | {"work": work, "threads": config.threads} | provenance() for row in rows]


def measure_replay(config: Config) -> list[dict[str, object]]:
    """The row of results/replay_memory.csv: a memory filled with real frames, and what the process grew by."""
    rollout = Rollout(config.env, config.num_envs, EnvConfig(), Generators(0), threads=int(devices.hardware()["cores"]))
    shape = rollout.observation_space.shape
    assert shape is not None
    before = psutil.Process().memory_info().rss
    replay = Replay(TRANSITIONS, config.num_envs, (1, *shape[1:]), torch.uint8, shape[0], torch.device("cpu"))
    rng = np.random.default_rng(0)
    with Display("filling the replay memory", TRANSITIONS, "steps") as display:
        for done in range(0, TRANSITIONS, config.num_envs):
            step, _ = rollout.step(rng.integers(rollout.action_space.n, size=config.num_envs))  # type: ignore[attr-defined]
            flags = (step.terminated, step.truncated, step.life_lost, step.first, step.dummy)
            arrays = (np.ascontiguousarray(step.obs[:, -1:]), step.action, step.reward, *flags)
            replay.push(*(torch.from_numpy(array) for array in arrays))
            display.update(done, "")
    grown = psutil.Process().memory_info().rss - before
    rollout.close()
    row = {
        "transitions": TRANSITIONS,
        "arrays_gb": round(replay.size_bytes / 1e9, 3),
        "process_grew_gb": round(grown / 1e9, 3),
        # Observation and next observation of 4 frames each, what SB3's ReplayBuffer allocates by default.
        "sb3_default_layout_gb": round(2 * TRANSITIONS * int(np.prod(shape)) / 1e9, 3),
    }
    print(f"replay memory of {TRANSITIONS:,} transitions: {row['arrays_gb']} GB")
    return [row | provenance()]


def provenance() -> dict[str, object]:
    """Where and when a figure was measured."""
    return {
        "hardware": describe_hardware(devices.hardware()),
        "commit": devices.git_commit(),
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python -m agents.speed", *sys.argv[1:]]),
    }


def write(file: Path, rows: Sequence[dict[str, object]]) -> None:
    """A CSV of its own columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@command
def main(argv: list[str] | None = None) -> None:
    """Measure and write the CSVs."""
    config = cli(Config, argv)
    write(config.results_dir / "replay_memory.csv", measure_replay(config))
    write(config.results_dir / "speed.csv", time_agents(config))


if __name__ == "__main__":
    main()
