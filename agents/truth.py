"""Verification of the ground truth: play an environment, verify every frame, record how many frames pass.

    python -m agents.truth --env Pong --frames 20000

Writes a row of results/truth.csv, in place of an older one of the same environment and policy. The rate is per second
of processor time, emulation included.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert
from agents.training.cli import cli, command
from agents.training.environments import make_env, without_fire_reset
from agents.training.load import load_policy, world_of
from envs import names
from envs.config import EnvConfig
from envs.ground_truth.wrappers import GroundTruthInfo
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Ranged, Seed, Share, Steps
from rl_gen_lab.runs.folder import RunFolder


@dataclass(frozen=True)
class Config(Ranged):
    """Settings of a verification: environment, policy and frames."""

    # An environment of envs/ground_truth/games.
    env: str = "Pong"
    # Frames to verify; an agent's step has several.
    frames: Steps = 20_000
    # Run folder of the trained agent that plays (None: uniformly random actions).
    run: Path | None = None
    # Probability that the trained agent acts at random.
    epsilon: Share = 0.01
    # Seed of the environment and of the random actions.
    seed: Seed = 0
    # Folder of truth.csv.
    results_dir: Path = Path("results")


@dataclass
class Count:
    """Number of frames, and how many of them failed for which reason."""

    frames: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, problem: str | None) -> None:
        """Count a frame; problem: why it failed, None if it passed."""
        self.frames += 1
        if problem is not None:
            self.problems[problem.partition(" at ")[0]] += 1


class Counting(gym.Wrapper[Any, Any, Any, Any]):
    """Counts every frame of the wrapped environment, also those that frame skipping hides from the agent."""

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
    """Play and verify; return the row of results/truth.csv."""
    world, policy, who = EnvConfig(), None, "random"
    if config.run is not None:
        run = RunFolder.open(config.run)
        saved = run.read_config("env_id")
        if saved["env_id"] != names.resolve(config.env):
            raise ConfigError(f"{config.run} plays {saved['env_id']}, not {config.env}")
        world, policy, who = world_of(run), load_policy(run, "best"), run.path.name
        world = without_fire_reset(world)
    count, rng = Count(), np.random.default_rng(config.seed)
    env = make_env(config.env, world, inner=lambda inner: Counting(inner, count))
    env.action_space.seed(config.seed)
    began = time.process_time()  # other work on the machine does not count
    with ProgressDisplay(f"verifying {config.env}", config.frames, "frames") as display:
        obs, _ = env.reset(seed=config.seed)
        first = True
        while count.frames < config.frames:
            action = env.action_space.sample()
            if policy is not None:
                # Also where a random action follows: the policy may have a memory.
                chosen, _ = policy.choose(np.asarray(obs)[None], np.array([first]))
                action = action if rng.random() < config.epsilon else chosen[0]
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
    } | provenance_of_command("agents.truth")


@command
def main(argv: list[str] | None = None) -> None:
    """Verify, write the CSV and print the result."""
    config = cli(Config, argv)
    row = measure(config)
    upsert(config.results_dir / "truth.csv", [row], key=("env_id", "policy"), sort=("env_id",))
    print(
        f"{row['env_id']}, {row['policy']} play: {row['accepted_percent']} % of {row['frames']:,} frames verified,"
        f" {row['frames_per_cpu_second']:,} frames/s of one core"
        + (f"; rejected: {row['rejected_because']}" if row["rejected"] else "")
    )


if __name__ == "__main__":
    main()
