"""Agents that have learned in dreams, tried in the game itself: their return inside and outside.

    python -m agents.ppo --env dream:runs/dream_latent__pong__0__20260101-120000
    python -m agents.outside runs/ppo__Pong_0123456789ab_update9-v0__1__20260101-130000

Outside an agent sees the same numbers as in its dreams: the code of the screen and the memory of those before
(`agents/perception/codes.py`). Of several agents the order inside and outside is compared, too (Spearman's rank
correlation). Agents that were trained outside, on `--observe dream:RUN`, are played in the dreams of that run likewise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from annotated_types import Interval

from agents.reports.outside import rank_correlation
from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert
from agents.training.cli import cli, command
from agents.training.config import Episodes
from agents.training.environments import make_vec, task_fingerprint
from agents.training.evaluate import Evaluation, evaluate
from agents.training.load import load_policy
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import DeviceConfig, Ranged, Seed, ShareBelowOne
from rl_gen_lab.compute import devices
from rl_gen_lab.runs.folder import RunFolder

Row = dict[str, Any]
MEASURED_ENVS, MEASURED_STEPS = 256, 50  # of the speed of dreams


@dataclass(frozen=True)
class Config(Ranged):
    """Settings of a comparison of agents inside and outside."""

    # Run folders of trained agents.
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    # Whole episodes inside, and as many outside.
    episodes: Episodes = 20
    # Probability that the game repeats the previous action, each frame.
    sticky: ShareBelowOne = 0.0
    # Seed of the episodes; training and its evaluations never use it.
    seed: Seed = 3_000_000
    # The best agent by its evaluations, or the last.
    which: Literal["best", "last"] = "best"
    # Agent steps after which a game is cut off.
    max_steps: Annotated[int, Interval(ge=1, le=10**8)] = 27_000
    # Folder of dreams.csv.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse an empty list."""
        super().__post_init__()
        if not self.runs:
            raise ConfigError("name run folders of agents that were trained in dreams")


def measure(config: Config) -> Iterator[Row]:
    """Play every agent inside and outside and yield its row."""
    from agents.perception.dream_agents import dream_run_of, game_of  # here, so that --help needs no torch
    from agents.perception.dreams import dream_of

    for path in config.runs:
        run = RunFolder.open(path)
        saved, source = run.read_config("exp_name", "fingerprint", "seed"), dream_run_of(run)
        game, world = game_of(run, config.sticky, config.max_steps)
        dream = dream_of(Path(source))
        inside = _play(config, run, f"dream:{source}", EnvConfig(), "inside")
        outside = _play(config, run, game, world, "outside")
        yield {
            "agent": f"{saved['exp_name']} trained on {saved['fingerprint'].get('fields', {}).get('env_id')}",
            "dream": dream.digest,
            "env_steps": saved["config"].get("total_env_steps", ""),
            "return_inside": f"{np.mean(inside.returns):.2f}",
            "std_inside": f"{np.std(inside.returns):.2f}",
            "return_outside": f"{np.mean(outside.returns):.2f}",
            "std_outside": f"{np.std(outside.returns):.2f}",
            "episodes": config.episodes,
            "imagined_steps_per_cpu_second": round(imagined_steps_per_cpu_second(source)),
            "sticky": config.sticky,
            "game": game,
            "seed": config.seed,
            "training_seed": saved["seed"],
            "fingerprint": task_fingerprint(game, world, 0.0).hash,
            "run": run.path.resolve().name,
            "dream_run": Path(source).resolve().name,
        } | provenance_of_command("agents.outside")


def imagined_steps_per_cpu_second(source: str) -> float:
    """Measure how many steps a second of processor time dreams, of `MEASURED_ENVS` dreams side by side."""
    vec = make_vec(f"dream:{source}", MEASURED_ENVS, EnvConfig(), seed=0)
    actions = np.zeros(MEASURED_ENVS, np.int64)
    vec.step(actions)
    began = time.process_time()
    for _ in range(MEASURED_STEPS):
        vec.step(actions)
    seconds = time.process_time() - began
    vec.close()
    return MEASURED_ENVS * MEASURED_STEPS / seconds


def _play(config: Config, run: RunFolder, env: str, world: EnvConfig, where: str) -> Evaluation:
    from envs import names

    policy = load_policy(run, config.which)
    if policy.seed is not None:
        policy.seed(config.seed)
    with ProgressDisplay(f"playing {where}, {run.path.name}", config.episodes, "episodes") as display:
        return evaluate(
            names.resolve(env),
            world,
            policy.act,
            config.episodes,
            config.seed,
            on_episode=lambda done: display.update(done, ""),
            begin=policy.begin,
        )


@command
def main(argv: list[str] | None = None) -> None:
    """Play, write the CSV and print the results."""
    config = cli(Config, argv)
    devices.setup(DeviceConfig(device="cpu"))
    rows = []
    for row in measure(config):
        rows.append(row)
        upsert(config.results_dir / "dreams.csv", [row], key=("run",), sort=("dream", "agent", "run"))
        print(
            f"{row['run']}: inside {row['return_inside']} ± {row['std_inside']},"
            f" outside {row['return_outside']} ± {row['std_outside']} over {row['episodes']} episodes each",
            flush=True,
        )
    if len(rows) > 2:
        inside, outside = ([float(row[f"return_{where}"]) for row in rows] for where in ("inside", "outside"))
        print(f"rank correlation of {len(rows)} agents inside and outside: {rank_correlation(inside, outside):.2f}")


if __name__ == "__main__":
    main()
