"""Fool a trained vision model: any image, changed as little as need be, so that it says what you choose.

    python -m rl_gen_lab.attack runs/classify_max__pong_5000_0__0__20260101-120000 --to ball
    python -m rl_gen_lab.attack runs/caption_attention__pong_5000_0__0__20260101-120000 --say "ball out of play."
    python -m rl_gen_lab.attack runs/caption_attention__pong_5000_0__0__20260101-120000 --say "ball low." --image a.png

Classifiers say one category and no other, captioners a sentence of their own words. Writes pictures/fooled.png, which
fools when it is read again, and pictures/attack.png, which shows image, change and answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Ranged, Seed

if TYPE_CHECKING:
    from torch import Tensor

AMPLIFIED = 20.0  # changes are drawn so many times as large, around gray


@dataclass(frozen=True)
class Config(Ranged):
    """Fool a classifier or a captioner."""

    # Run folder of a trained classifier or captioner, or a packed one, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # Category that the classifier shall see, and no other.
    to: str | None = None
    # Sentence that the captioner shall say.
    say: str | None = None
    # Any image (PNG, JPEG, ...), scaled to the size of the model's; None: one of its data.
    image: Path | None = None
    # Folder of annotated images (None: the one of the training).
    data: Path | None = None
    # Split of the images, ...
    split: Literal["train", "val", "test"] = "val"
    # ... and the number of the image in it.
    index: Annotated[int, Interval(ge=0, le=10**9)] = 0
    # Gray levels of 255 by which a pixel may change, at most.
    levels: Annotated[int, Interval(ge=1, le=255)] = 255
    # Steps of gradients for each budget.
    steps: Annotated[int, Interval(ge=1, le=10_000)] = 60
    # Seed of the random starts.
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if (self.to is None) == (self.say is None):
            raise ConfigError("choose one of --to CATEGORY (classifiers) and --say SENTENCE (captioners)")


def _image(config: Config) -> Tensor:
    """Return the image to change, (3, H, W) uint8. Raises: ConfigError, DataError for a file that is no image."""
    import torch

    from rl_gen_lab.data.images import read_resized
    from rl_gen_lab.look import open_split
    from rl_gen_lab.training.load import read_model

    if config.image is not None:
        height, width = read_model(config.run)[0]["image_size"]
        return torch.from_numpy(read_resized(config.image, height, width))
    images = open_split(config.run, config.data, config.split).images
    if config.index >= len(images):
        raise ConfigError(f"--index {config.index} is past the last image of {config.split}, {len(images) - 1}")
    return images[config.index]


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Write the fooling image and the picture, and print what the model says."""
    config = parse_flags(Config, argv, description=__doc__)

    import numpy as np
    from PIL import Image

    from rl_gen_lab.explain import drawing, fooling
    from rl_gen_lab.runs.files import save_errors, without_links
    from rl_gen_lab.training.load import folder_of, load_task

    task = load_task(config.run, "classify", "localize", "caption")
    margins = (
        fooling.sentence_margins(task, config.say)
        if config.say is not None
        else fooling.class_margins(task, str(config.to))
    )
    image = _image(config)
    with folder_of(config.run) as run:
        before = fooling.answer(task, image)
        found = fooling.fool(margins, image, config.levels, config.seed, config.steps)
        after = fooling.answer(task, found.image)
        folder = without_links(run.path / "pictures")
        clean, changed = (np.ascontiguousarray(one.permute(1, 2, 0).numpy()) for one in (image, found.image))
        with save_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(changed).save(folder / "fooled.png")
            change = (127.5 + AMPLIFIED * (changed.astype(np.float32) - clean)).clip(0, 255).astype(np.uint8)
            row = [("the image", clean), (f"change, times {AMPLIFIED:g}", change), ("what the model sees", changed)]
            drawing.panels([row], side=210).save(folder / "attack.png")
        enough = "not reached" if found.levels is None else f"by at most {found.levels} gray levels"
        print(f"before: {before}\nafter:  {after}\n{enough}: {run.shown(folder / 'fooled.png')}")
        print(run.shown(folder / "attack.png"))


if __name__ == "__main__":
    main()
