"""Settings of attacks on an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig, PositiveShare, Ranged, Seed, WandbConfig

LEVELS = (0.0, 1.0, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Config(Ranged):
    """Attack a trained agent of frames, and score it by whole games."""

    # Run folder of a trained agent that sees frames, or a packed policy, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # random (signs, the control), fgsm, pgd, pgd-starts (three starts), pgd-worst (toward the action that the agent
    # thinks least of); several, joined by commas; all.
    attacks: Annotated[str, tyro.conf.Positional] = "random,fgsm,pgd"
    # The agent's best weights by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # Budgets: whole gray levels of 255 by which a pixel may change; 0: the games as they are.
    levels: tuple[Annotated[float, Interval(ge=0, le=255)], ...] = LEVELS
    # Whole games for each attack and budget, and as they are; 0: no game is played out, only frames are attacked.
    games: Annotated[int, Interval(ge=0, le=1_000)] = 20
    # Frames of the agent's own play on which all attacks are compared.
    frames: Annotated[int, Interval(ge=1, le=10_000)] = 200
    # Steps of an attack by gradients.
    steps: Annotated[int, Interval(ge=1, le=1_000)] = 10
    # Change only the newest frame of a stack.
    newest: bool = False
    # Change pixels only by whole gray levels, as a screen shows them.
    whole: bool = False
    # Share of the agent's steps at which it is attacked: ...
    share: PositiveShare = 1.0
    # ... those at which most is at stake, or random ones.
    when: Literal["decisive", "random"] = "decisive"
    # Frames for which the least budget is searched that changes the action; 0: none.
    minimum: Annotated[int, Interval(ge=0, le=10_000)] = 50
    # Moments of a game from which the emulator is searched for states that the agent cannot handle; 0: none.
    search: Annotated[int, Interval(ge=0, le=10_000)] = 0
    # A picture (PNG, JPEG, ...) that shall make the agent take each action, changed as little as need be.
    image: Path | None = None
    # Seed of the games; training and its evaluations never use it.
    seed: Seed = 7_000_000
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")
    device: DeviceConfig = field(default_factory=lambda: DeviceConfig(device="cpu"))
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse budgets in another unit."""
        super().__post_init__()
        for level in self.levels:
            if 0 < level < 1:
                raise ConfigError(
                    f"levels are gray levels of 255, not shares: {level:g} as a share is {level * 255:.3g} of them"
                )
            if level % 1:
                raise ConfigError(f"levels are whole gray levels, not {level:g}: a screen has no others")
        if not self.levels:
            raise ConfigError("name at least one budget, as in --levels 1 3")
