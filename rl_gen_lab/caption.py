"""Captions of a trained captioner: their metrics on a split, and its attention for each word.

    python -m rl_gen_lab.caption runs/caption_attention__pong_5000_0__0__20260101-120000
    python -m rl_gen_lab.caption runs/caption_attention__pong_5000_0__0__20260101-120000 --beam 3 --pictures 0

Measures the sentences generated for a split of the run's own data (or of another folder), by greedy or beam search, and
draws the attention for some of its images into the run folder, under pictures/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import OptionalSteps, Ranged
from rl_gen_lab.look import open_split
from rl_gen_lab.runs.files import without_links
from rl_gen_lab.vision.captioning.config import Beam

if TYPE_CHECKING:
    from rl_gen_lab.vision.captioning.task import CaptioningTask


@dataclass(frozen=True)
class Config(Ranged):
    """Measure a captioner and draw its attention."""

    # Run folder of a trained captioner.
    run: Annotated[Path, tyro.conf.Positional]
    # Folder of images with captions (None: the one of the training).
    data: Path | None = None
    # Split of the images.
    split: Literal["train", "val", "test"] = "val"
    # Width of the beam search (None: as configured in the training); 1: greedy.
    beam: Beam | None = None
    # Images to draw the attention for, spread over the split.
    pictures: Annotated[int, Interval(ge=0, le=10_000)] = 4
    # Images to measure, the first ones of the split (None: all; 0: only draw).
    images: OptionalSteps | None = None


def open_captioner(path: Path, beam: int | None = None) -> CaptioningTask:
    """Load the captioner of a run. Raises: CheckpointError."""
    from rl_gen_lab.training.load import load_task  # here, so that --help needs no torch

    caption = cast("CaptioningTask", load_task(path, "caption"))
    if beam is not None:
        caption.config = replace(caption.config, beam=beam)
    return caption


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Measure the captions and draw the attention."""
    config = parse_flags(Config, argv, description=Config.__doc__)

    from rl_gen_lab.data import dataset as data  # here, so that --help needs no torch
    from rl_gen_lab.data.vocabulary import describe_unknown
    from rl_gen_lab.training.load import folder_of
    from rl_gen_lab.vision.captioning import attention_map

    caption = open_captioner(config.run, config.beam)
    split = open_split(config.run, config.data, config.split)
    with folder_of(config.run) as run:
        count = len(split) if config.images is None else min(config.images, len(split))
        if count:
            part = data.Split(split.name, split.images[:count], split.labels[:count])
            with ProgressDisplay(f"captioning {config.split}", count, "images") as display, torch.no_grad():
                metrics = caption.evaluate(part, lambda done: display.update(done, ""))
            for sentence in describe_unknown(caption.vocabulary, [part]):
                print(sentence)
            print(f"{config.split}, {count:,} images, beam {caption.config.beam}:")
            print("\n".join(f"  {name} {value:.4f}" for name, value in metrics.items()))
        chosen = split.evenly_spaced(config.pictures)
        for file, sentence in (
            attention_map.write(caption, split, chosen, without_links(run.path / "pictures")) if chosen else []
        ):
            print(f"{run.shown(file)}: {sentence}")


if __name__ == "__main__":
    main()
