"""Return by source of observation: an agent plays from the ground truth and from what our vision models detect.

    python -m agents.observation runs/dqn__Pong__1__20260101-120000 --sources objects detector:runs/RUN segment:runs/RUN

Writes a row of results/observation.csv for each source, in place of an older one of the same agent and source. Latency
is the processor time of the model per image, in one thread: its delay on a machine without other work; an agent's step
takes one image. Without `--sources` the agent plays from the source that it was trained with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert
from agents.rl.interfaces import Policy
from agents.training.cli import cli, command
from agents.training.config import Episodes
from agents.training.environments import detector_of, make_vec, task_fingerprint
from agents.training.evaluate import evaluate
from agents.training.load import evaluation_of, load_policy, world_of
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import DeviceConfig, Ranged, Seed
from rl_gen_lab.compute import devices
from rl_gen_lab.runs.folder import RunFolder

Row = dict[str, Any]
# Metric of a vision model on its test split, by prefix of the source.
QUALITY = {"detector": "f1", "segment": "miou"}


@dataclass(frozen=True)
class Config(Ranged):
    """Settings of a comparison of observation sources."""

    # Run folder of a trained agent.
    run: Annotated[Path, tyro.conf.Positional]
    # Sources: objects, detector:RUN, segment:RUN; for an agent trained on pixels only pixels (None: as trained).
    sources: tuple[str, ...] | None = None
    # Whole episodes per source.
    episodes: Episodes = 10
    # Seed of the evaluation; training and its evaluations never use it.
    seed: Seed = 2_000_000
    # The best agent by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # Folder of observation.csv.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse an empty list of sources."""
        super().__post_init__()
        if self.sources == ():
            raise ConfigError("--sources takes one source or more; leave it out for the one of the training")


def settings_of(env_id: str, trained: EnvConfig, sources: tuple[str, ...] | None) -> list[EnvConfig]:
    """Return the settings of the environment for each source; all are tried before anything is played.

    Raises: ConfigError for one that the agent cannot use, CheckpointError, IncompatibleDetectorError.
    """
    configs = []
    for source in sources or (trained.observe,):
        if (source == "pixels") != (trained.observe == "pixels"):
            raise ConfigError(f"the agent was trained on {trained.observe}; it cannot play on {source}")
        try:
            world = replace(trained, observe=source)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        make_vec(env_id, 1, world).close()
        configs.append(world)
    return configs


def measure(config: Config) -> Iterator[Row]:
    """Play from each source in turn and yield its row."""
    run = RunFolder.open(config.run)
    policy = load_policy(run, config.which)  # first, for it says what a run of another command is
    saved = run.read_config("env_id", "exp_name", "fingerprint")
    for world in settings_of(saved["env_id"], world_of(run), config.sources):
        yield _row(config, run, saved, world, policy)


def _row(config: Config, run: RunFolder, saved: dict[str, Any], world: EnvConfig, policy: Policy) -> Row:
    from agents.perception.detectors import NetworkDetector  # here, so that --help needs no torch

    env, rules = saved["env_id"], evaluation_of(run)
    epsilon, stochastic = rules.epsilon, rules.stochastic
    task, detector = task_fingerprint(env, world, epsilon, stochastic), detector_of(world)
    before = (detector.images, detector.seconds) if isinstance(detector, NetworkDetector) else (0, 0.0)
    if policy.seed is not None:
        policy.seed(config.seed)
    with ProgressDisplay(f"playing {env} on {world.observe}", config.episodes, "episodes") as display:
        result = evaluate(
            env,
            world,
            policy.act,
            config.episodes,
            config.seed,
            epsilon=epsilon,
            on_episode=lambda done: display.update(done, ""),
            begin=policy.begin,
        )
    prefix, _, source = world.observe.partition(":")
    quality, milliseconds = "", ""
    if isinstance(detector, NetworkDetector):
        milliseconds = f"{1_000 * (detector.seconds - before[1]) / (detector.images - before[0]):.1f}"
        try:
            value = RunFolder.open(Path(source)).read_result().get("test", {}).get(QUALITY[prefix])
        except CheckpointError:  # its training was stopped
            value = None
        quality = "" if value is None else f"{QUALITY[prefix]} {value:.4f}"
    returns = np.asarray(result.returns)
    return {
        "env_id": env,
        "agent": f"{saved['exp_name']} trained on {saved['fingerprint'].get('fields', {}).get('observe', 'pixels')}",
        "source": "truth" if world.observe == "objects" else world.observe if detector is None else detector.name,
        "return_mean": f"{returns.mean():.2f}",
        "return_std": f"{returns.std():.2f}",
        "episodes": len(returns),
        "source_on_test_split": quality,
        "cpu_ms_per_picture": milliseconds,
        "threads": torch.get_num_threads(),
        "seed": config.seed,
        "fingerprint": task.hash,
        "run": run.path.resolve().name,
        "source_run": Path(source).resolve().name if source else "",
    } | provenance_of_command("agents.observation")


@command
def main(argv: list[str] | None = None) -> None:
    """Play, write the CSV and print the results."""
    config = cli(Config, argv)
    devices.setup(DeviceConfig(device="cpu"))
    for row in measure(config):
        upsert(config.results_dir / "observation.csv", [row], key=("run", "source"), sort=("env_id", "run"))
        seen = f", {row['cpu_ms_per_picture']} ms of processor time per image" if row["cpu_ms_per_picture"] else ""
        print(
            f"{row['agent']}, seen through {row['source']}: {row['return_mean']} ± {row['return_std']}"
            f" over {row['episodes']} episodes{seen}",
            flush=True,
        )


if __name__ == "__main__":
    main()
