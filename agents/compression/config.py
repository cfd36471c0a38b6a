"""Settings of a compression of an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents.training.config import Episodes
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.settings import Ranged, Seed, Threads, WandbConfig
from rl_gen_lab.runs.folder import RunFolder

FRAME_COMMAS = 2  # in the shape (C, H, W) of a frame
AGENTS = ("dqn", "ppo", "actor_critic", "reinforce")


def refuse_others(run: RunFolder) -> None:
    """Refuse a run of something that `agents.compress` cannot compress, by what its config.json says.

    Raises: CheckpointError.
    """
    saved = run.read_config()
    name = str(saved.get("exp_name"))
    if run.made_by().startswith("python -m rl_gen_lab."):
        raise CheckpointError(
            f"{run} is a run of {name}: python -m rl_gen_lab.compress takes vision models, generators"
        )
    if name.startswith("sb3"):
        raise CheckpointError(f"{run} is an agent of Stable-Baselines3; can be compressed: {', '.join(AGENTS)}")
    if name not in AGENTS:
        raise CheckpointError(f"{run} is a run of {name}; can be compressed: {', '.join(AGENTS)}")
    fields = saved.get("fingerprint", {}).get("fields", {})
    shape = str(fields.get("observation", "")).rpartition(" ")[0]
    if shape and shape.count(",") != FRAME_COMMAS:
        raise CheckpointError(
            f"{run} does not see frames but vectors {shape}; agents that see frames can be compressed"
        )


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
