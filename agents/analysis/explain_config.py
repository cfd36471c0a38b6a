"""Settings of an explanation of an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig, PositiveShare, Ranged, Seed, WandbConfig


@dataclass(frozen=True)
class Config(Ranged):
    """Explain a trained agent: what in its frames its decisions hang on, scored by the truth of the game."""

    # Run folder of a trained agent that sees frames, or a packed policy, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # gradient, gradient-x-input, smoothgrad, integrated-gradients, guided, grad-cam, lrp, occlusion, blur, rise;
    # several, joined by commas; all.
    method: Annotated[str, tyro.conf.Positional] = "gradient-x-input"
    # What is explained instead of the agent, which then only plays the frames, the same for all: run folders (with
    # --eval.keep-weights every evaluation of a training is a stage), compressions (every stage), packed policies.
    stages: tuple[Path, ...] = ()
    # The agent's best weights by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # What is explained: the gap between the chosen action and the mean of the others (of action values or logits), the
    # value, or the log-probability of the chosen action (policies).
    target: Literal["gap", "value", "log-probability"] = "gap"
    # Convolution of Grad-CAM (None: the last).
    layer: str | None = None
    # Frames to score, half by importance and half evenly spaced; 0: only the film.
    frames: Annotated[int, Interval(ge=0, le=10_000)] = 200
    # Games that these frames are from; intervals are by game.
    episodes: Annotated[int, Interval(ge=2, le=1_000)] = 10
    # Agent steps of each of them, at most.
    most_steps: Annotated[int, Interval(ge=20, le=27_000)] = 500
    # Whole games for each score with pixels deleted or kept, and for each hypothesis, or for each stage; 0: none.
    games: Annotated[int, Interval(ge=0, le=1_000)] = 0
    # Share of the pixels that these games delete or keep.
    share: PositiveShare = 0.01
    # Agent steps of the film; 0: none.
    film_steps: Annotated[int, Interval(ge=0, le=27_000)] = 300
    # Seed of the games; training and its evaluations never use it.
    seed: Seed = 6_000_000
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")
    device: DeviceConfig = field(default_factory=lambda: DeviceConfig(device="cpu"))
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.stages and not self.frames:
            raise ConfigError("--stages are compared by their scores: let --frames be 1 or more")
