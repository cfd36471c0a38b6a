"""Figures of a trained vision model's predictions, beside the truth.

    python -m rl_gen_lab.look runs/detect_ssd__pong_5000_0__0__20260101-120000
    python -m rl_gen_lab.look runs/segment_unet__pong_5000_0__0__20260101-120000 --data datasets/breakout_5000_0

They are written into the run folder, under pictures/ (of a packed model, FILE.rlz: into FILE/pictures/). For a
captioner they show its attention for each word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Few, Ranged
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from rl_gen_lab.data.dataset import Split


@dataclass(frozen=True)
class Config(Ranged):
    """Draw the predictions of a vision model."""

    # Run folder of a trained model, or a packed one, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # Folder of annotated images (None: the one of the training).
    data: Path | None = None
    # Split of the images.
    split: Literal["train", "val", "test"] = "val"
    # Images to draw, spread over the split.
    pictures: Few = 4


def open_split(run: Path, folder: Path | None, split: str) -> Split:
    """Load images for the model of a run, by default from its own data. Raises: ConfigError, DataError."""
    from rl_gen_lab.data import dataset as data  # here, so that --help needs no torch
    from rl_gen_lab.training.load import PACKED, read_model

    needed = ("config", "image_size", "categories")
    metadata = read_model(run)[0] if run.suffix == PACKED else RunFolder.open(run).read_config(*needed)
    if folder is None and "data" not in metadata["config"]:
        raise ConfigError("--data is missing: a packed file does not say where its images are")
    folder = folder or Path(metadata["config"]["data"] or "")
    dataset = data.load(folder)
    size = list(dataset.splits[split].images.shape[2:])
    if size != metadata["image_size"]:
        raise ConfigError(f"{folder} has images of {size[1]} x {size[0]}, {run} was trained on others")
    if list(dataset.categories) != metadata["categories"]:
        names = ", ".join(dataset.categories), ", ".join(metadata["categories"])
        raise ConfigError(f"{folder} has the categories {names[0]}, {run} was trained on {names[1]}")
    return dataset.splits[split]


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Write the figures and print their files."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.training.load import folder_of, load_task
    from rl_gen_lab.training.tasks import TASKS, draw_predictions

    task = load_task(config.run, *TASKS)
    split = open_split(config.run, config.data, config.split)
    with folder_of(config.run) as run:
        for file, sentence in draw_predictions(task, split, config.pictures, run):
            print(f"{run.shown(file)}: {sentence}" if sentence else run.shown(file))


if __name__ == "__main__":
    main()
