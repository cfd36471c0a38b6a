"""How often the truth holds: play a world, prove every frame, and record the share of frames that pass.

    python -m agents.truth --env Pong --frames 20000

Writes a row of results/truth.csv, in place of an older one of the same world and policy. The rate is per
second of processor time, emulation included.
"""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from agents.training.cli import cli, command
from agents.training.environments import make_env, without_fire_reset
from agents.training.load import load_policy
from envs import names
from envs.config import EnvConfig
from envs.ground_truth.wrappers import GroundTruthInfo
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.files import replace_file
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.provenance import describe_hardware


@dataclass(frozen=True)
class Config:
    """What to play, and for how long."""

    # Any world of envs/ground_truth/games.
    env: str = "Pong"
    # Frames to prove; an agent's step has several.
    frames: int = 20_000
    # Run folder of a trained agent that plays (None: uniformly random actions).
    run: Path | None = None
    # How often the trained agent acts at random.
    epsilon: float = 0.01
    # Of the world and of the random actions.
    seed: int = 0
    # Folder of truth.csv.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.frames < 1 or not 0 <= self.epsilon <= 1:
            raise ConfigError("frames must be at least 1, and epsilon between 0 and 1")


@dataclass
class Count:
    """Frames seen, and how many of them failed for which reason."""

    frames: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, problem: str | None) -> None:
        """One more frame."""
        self.frames += 1
        if problem is not None:
            self.problems[problem.partition(" at ")[0]] += 1


class Counting(gym.Wrapper[Any, Any, Any, Any]):
    """Counts every frame of the world below, also those that frame skipping hides from the agent."""

    def __init__(self, env: gym.Env[Any, Any], count: Count) -> None:
        super().__init__(GroundTruthInfo(env))
        self.count = count

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Count the first frame."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.count.add(info["objects"].problem)
        return obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Count a frame."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.count.add(info["objects"].problem)
        return obs, reward, terminated, truncated, info


def measure(config: Config) -> dict[str, object]:
    """Play and prove; the row of results/truth.csv."""
    world, policy, who = EnvConfig(), None, "random"
    if config.run is not None:
        run = RunFolder.open(config.run)
        saved = run.read_config()
        if saved["env_id"] != names.resolve(config.env):
            raise ConfigError(f"{config.run} plays {saved['env_id']}, not {config.env}")
        world, policy, who = from_dict(EnvConfig, saved["config"]["world"]), load_policy(run, "best"), run.path.name
        world = without_fire_reset(world)
    count, coin = Count(), np.random.default_rng(config.seed)
    env = make_env(config.env, world, inner=lambda inner: Counting(inner, count))
    env.action_space.seed(config.seed)
    began = time.process_time()  # other work on the machine does not count
    with ProgressDisplay(f"proving {config.env}", config.frames, "frames") as display:
        obs, _ = env.reset(seed=config.seed)
        first = True
        while count.frames < config.frames:
            action = env.action_space.sample()
            if policy is not None:
                chosen, _ = policy.choose(
                    np.asarray(obs)[None], np.array([first])
                )  # asked at every step: it may remember
                action = action if coin.random() < config.epsilon else chosen[0]
            obs, _, terminated, truncated, _ = env.step(action)
            first = terminated or truncated
            if first:
                obs, _ = env.reset()
            display.update(count.frames, f"{sum(count.problems.values())} rejected")
    seconds = time.process_time() - began
    env.close()
    rejected = sum(count.problems.values())
    reasons = "; ".join(f"{times} {reason}" for reason, times in count.problems.most_common(3))
    return {
        "env_id": names.resolve(config.env),
        "policy": who,
        "frames": count.frames,
        "rejected": rejected,
        "accepted_percent": round(100 * (1 - rejected / count.frames), 3),
        "frames_per_cpu_second": round(count.frames / seconds),
        "rejected_because": reasons,
        "seed": config.seed,
        "hardware": describe_hardware(provenance.hardware()),
        "commit": provenance.git_commit(),
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python -m agents.truth", *sys.argv[1:]]),
    }


def record(file: Path, row: dict[str, object]) -> None:
    """Write a row into the CSV, in place of one of the same world and policy. Raises: SaveError."""
    rows: list[dict[str, Any]] = []
    if file.is_file():
        with file.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    key = (row["env_id"], row["policy"])
    rows = sorted([r for r in rows if (r["env_id"], r["policy"]) != key] + [row], key=lambda r: str(r["env_id"]))

    def write(new: Path) -> None:
        with new.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    replace_file(file, write)


@command
def main(argv: list[str] | None = None) -> None:
    """Measure and write the CSV."""
    config = cli(Config, argv)
    row = measure(config)
    record(config.results_dir / "truth.csv", row)
    print(
        f"{row['env_id']}, {row['policy']} play: {row['accepted_percent']} % of {row['frames']:,} frames proven,"
        f" {row['frames_per_cpu_second']:,} frames/s of one core"
        + (f"; rejected: {row['rejected_because']}" if row["rejected"] else "")
    )


if __name__ == "__main__":
    main()
