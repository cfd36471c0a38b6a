"""Settings of a compression of an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents.training.config import Episodes
from rl_gen_lab.cli.settings import Ranged, Seed, Threads, WandbConfig


@dataclass(frozen=True)
class Config(Ranged):
    """Compress the policy of a trained agent."""

    # Run folder of a trained agent that sees frames, or a packed policy, FILE.rlz.
    run: Annotated[Path | None, tyro.conf.Positional] = None
    # The recipe (None: configs/compress_GAME.toml, else configs/compress_atari.toml).
    recipe: Path | None = None
    # Begin with the network of this packed policy, such as an earlier student, instead of the agent's own.
    start: Path | None = None
    # Continue the compression in this run folder.
    resume: Path | None = None
    # The teacher's best weights by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # Whole games by which every stage is scored.
    episodes: Episodes = 20
    # Seed of those games; training and its evaluations never use it.
    eval_seed: Seed = 4_000_000
    # Seed of the student's weights and play.
    seed: Seed = 0
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")
    # Threads of torch in this process; more than 1 is slower as soon as anything else runs on the machine.
    threads: Threads = 1
    # Weights & Biases.
    wandb: WandbConfig = field(default_factory=WandbConfig)
