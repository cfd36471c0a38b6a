"""Pictures of what a trained vision model finds, beside what is there.

    python -m rl_gen_lab.look runs/detect_ssd__pong_5000_0__0__20260101-120000
    python -m rl_gen_lab.look runs/segment_unet__pong_5000_0__0__20260101-120000 --data datasets/breakout_5000_0

They are written into the run folder, under pictures/. Of a captioner: where it looks for each word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.train import TASKS, draw
from rl_gen_lab.training.load import load_task


@dataclass(frozen=True)
class Config:
    """Draw what a vision model finds."""

    # Run folder of a trained model.
    run: Annotated[Path, tyro.conf.Positional]
    # Folder of labelled images (None: the one it was trained on).
    data: Path | None = None
    # Which part of it.
    split: Literal["train", "val", "test"] = "val"
    # Images to draw, spread over the split.
    pictures: int = 4

    def __post_init__(self) -> None:
        if self.pictures < 1:
            raise ConfigError(f"pictures must be at least 1, not {self.pictures}")


def open_split(run: Path, folder: Path | None, split: str) -> data.Split:
    """Images that a run's model can look at, by default of its own data. Raises: ConfigError, DataError."""
    about = RunFolder.open(run).read_config()
    folder = folder or Path(about["config"]["data"])
    found = data.load(folder)
    size = list(found.splits[split].images.shape[2:])
    if size != about["image_size"]:
        raise ConfigError(f"{folder} has images of {size[1]} x {size[0]}, {run} was trained on others")
    if list(found.categories) != about["categories"]:
        names = ", ".join(found.categories), ", ".join(about["categories"])
        raise ConfigError(f"{folder} has the categories {names[0]}, {run} was trained on {names[1]}")
    return found.splits[split]


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Write the pictures and name them."""
    config = parse_flags(Config, argv, description=__doc__)
    task = load_task(config.run, *TASKS)
    split = open_split(config.run, config.data, config.split)
    for file, said in draw(task, split, config.pictures, RunFolder.open(config.run)):
        print(f"{file}{said}")


if __name__ == "__main__":
    main()
