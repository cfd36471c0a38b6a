"""Settings of an agent for the tests of presets, flags and values, and presets of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.presets import load


@dataclass(frozen=True)
class World:
    """The world."""

    # Probability that an action repeats.
    sticky: float | None = None
    # Height and width [pixels].
    size: tuple[int, int] = (84, 84)


@dataclass(frozen=True)
class Config:
    """An agent for tests."""

    # Environment.
    env: str = "Pong"
    # Step size.
    learning_rate: float = 1e-4
    # How long to train.
    total_env_steps: int = 100
    # Two networks?
    double: bool = True
    # Which loss.
    loss: Literal["huber", "mse"] = "huber"
    # Widths of the layers.
    widths: tuple[int, ...] = ()
    # Where to write.
    folder: Path = Path("runs")
    # Settings of the world.
    world: World = World()

    def __post_init__(self) -> None:
        if self.learning_rate < 0:
            raise ConfigError("learning_rate must not be negative")


def read(argv: list[str], folder: Path, *candidates: str) -> Config:
    return load(Config, argv, agent="dqn", presets_dir=folder, preset_candidates=candidates)


def write_presets(folder: Path) -> Path:
    """Two presets of the agent and one of another, which is wrong."""
    (folder / "dqn_pong.toml").write_text('learning_rate = 3\nloss = "mse"\nwidths = [1, 2]\n[world]\nsticky = 0.25\n')
    (folder / "dqn_atari.toml").write_text("total_env_steps = 7\n")
    (folder / "ppo_pong.toml").write_text("unknown = 7\n")
    return folder
