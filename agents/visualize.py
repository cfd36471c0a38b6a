"""Frames that a trained agent's network is searched for: what excites a unit, a dream, what each layer keeps.

    python -m agents.visualize models/pong.rlz                                           # what argues for each action
    python -m agents.visualize models/pong.rlz maximize --search.layer backbone.conv.4 --search.units 3 7
    python -m agents.visualize runs/dqn__Pong__1__20260101-120000 dream --search.layer backbone.conv.2
    python -m agents.visualize models/pong.rlz invert                                    # layer by layer

What is found stands beside the best frame of real play and the best one that the emulator draws of states in which
objects were moved. Searches begin at the mean frame, which shows nothing; the frames of a stack are drawn side by side,
oldest first. `python -m rl_gen_lab.visualize` does the same for vision models (docs/textures.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from annotated_types import Interval

from agents.play import Config as PlayConfig
from agents.play import Play
from agents.training.cli import cli, command
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import Ranged, Seed
from rl_gen_lab.explain.synthesis.config import SearchConfig
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from rl_gen_lab.explain.synthesis.subject import Subject

ALGO = "visualize"
EPISODES = 2  # games that real frames are from


@dataclass(frozen=True)
class Config(Ranged):
    """Search for frames of an agent."""

    # Run folder of a trained agent that sees frames, or a packed policy, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # What to search for.
    method: Annotated[Literal["maximize", "dream", "invert"], tyro.conf.Positional] = "maximize"
    search: SearchConfig = field(default_factory=SearchConfig)
    # The agent's best weights by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # Real frames beside what is found, half by importance and half evenly spaced.
    frames: Annotated[int, Interval(ge=2, le=10_000)] = 60
    # Also frames of states that are written into the emulator (games with truth only).
    reachable: bool = True
    # Agent steps of each of two games, at most.
    most_steps: Annotated[int, Interval(ge=20, le=27_000)] = 400
    # Seed of the games, of noise and of shifts; training and its evaluations never use it.
    seed: Seed = 6_000_000
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")


def subject_of(config: Config, play: Play) -> Subject:
    """Play, and return the agent's network with its frames. Raises: ConfigError."""
    from agents.analysis.visualized import subject_of

    limits = (config.frames, EPISODES, config.most_steps, config.seed)
    return subject_of(play.env, play.world, play.policy, *limits, config.reachable)


@command
def main(argv: list[str] | None = None) -> None:
    """Search, and print what was found and where it is."""
    config = cli(Config, argv)
    play = Play.of(PlayConfig(run=config.run, which=config.which))
    from envs import names  # here, so that --help needs no torch
    from rl_gen_lab.cli.values import to_dict
    from rl_gen_lab.explain.synthesis import views
    from rl_gen_lab.runs import provenance

    torch.set_num_threads(1)
    subject = subject_of(config, play)
    if config.search.layer is not None:
        subject.checked(config.search.layer)
    short = names.short_name(play.env)
    run = RunFolder.create(config.runs_dir, ALGO, short, config.seed)
    about = {"config": to_dict(config), "env_id": play.env, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | provenance.of_run("agents.visualize"))
    print(run.shown(views.make(subject, config.method, config.search, config.seed, run)))


if __name__ == "__main__":
    main()
