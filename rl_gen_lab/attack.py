"""Fool a trained vision model: any image, changed as little as need be, so that it says what you choose.

    python -m rl_gen_lab.attack runs/classify_max__pong_5000_0__0__20260101-120000 --to ball
    python -m rl_gen_lab.attack runs/caption_attention__pong_5000_0__0__20260101-120000 --say "ball out of play."
    python -m rl_gen_lab.attack runs/caption_attention__pong_5000_0__0__20260101-120000 --say "ball low." --image a.png
    python -m rl_gen_lab.attack runs/caption_attention__pong_5000_0__0__20260101-120000 --say "ball low." --images 20

Classifiers say one category and no other, captioners a sentence of their own words. Writes pictures/fooled.png, which
fools when it is read again, and pictures/attack.png, which shows image, change and answers, into the model's folder; of
several images into a run folder of its own, with the shares that are fooled within each budget in result.json, and
random signs as their control. Exit code 1 where no image was fooled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Few, Ranged, Seed
from rl_gen_lab.cli.wording import count
from rl_gen_lab.runs.files import save_errors, without_links
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rl_gen_lab.explain.fooled_images import Attempt
    from rl_gen_lab.explain.fooling import Margins
    from rl_gen_lab.training.task import Task

ALGO = "fool"
AMPLIFIED = 20.0  # changes are drawn so many times as large, around gray
SHOWN = 3  # of several images, in the picture


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
    # More than 1: so many images instead, evenly spaced over the split; left out are those of which the model says it
    # anyway, or of which it is true.
    images: Few = 1
    # Gray levels of 255 by which a pixel may change, at most.
    levels: Annotated[int, Interval(ge=1, le=255)] = 255
    # Steps of gradients for each budget.
    steps: Annotated[int, Interval(ge=1, le=10_000)] = 60
    # Seed of the random starts and signs.
    seed: Seed = 0
    # Folder in which the run's own folder is made (of several images).
    runs_dir: Path = Path("runs")

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if (self.to is None) == (self.say is None):
            raise ConfigError("choose one of --to CATEGORY (classifiers) and --say SENTENCE (captioners)")
        if self.images > 1 and (self.image is not None or self.index):
            raise ConfigError("--images takes several images of the split: leave out --image and --index")


def one_image(config: Config) -> Tensor:
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


def false_images(config: Config, task: Any) -> list[Tensor]:
    """Return several images of which the answer is neither true nor given, each (3, H, W) uint8.

    Raises: ConfigError where none is left; DataError.
    """
    from rl_gen_lab.data.vocabulary import words
    from rl_gen_lab.explain.fooling import answer
    from rl_gen_lab.look import open_split

    split = open_split(config.run, config.data, config.split)
    wanted = words(config.say or config.to or "")
    found: list[Tensor] = []
    for index in split.evenly_spaced(config.images):
        label = split.labels[index]
        truths = label.captions if config.say is not None else [task.categories[one.category] for one in label.objects]
        given = answer(task, split.images[index])
        if wanted not in [words(truth) for truth in (*truths, given)]:
            found.append(split.images[index])
    if not found:
        raise ConfigError("what the model shall say is true, or said anyway, of all of these images: choose another")
    return found


def panel(clean: np.ndarray, changed: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return an image (H, W, 3) uint8, its change and what became of it, each with its word."""
    import numpy as np

    change = (127.5 + AMPLIFIED * (changed.astype(np.float32) - clean)).clip(0, 255).astype(np.uint8)
    return [("the image", clean), (f"change, times {AMPLIFIED:g}", change), ("what the model sees", changed)]


def pixels(image: Tensor) -> np.ndarray:
    """Return an image (3, H, W) uint8 as (H, W, 3)."""
    import numpy as np

    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def fool_one(config: Config, task: Task, margins: Margins) -> bool:
    """Fool the model by one image, and return whether it could be done. Raises: ConfigError, DataError, SaveError."""
    from PIL import Image

    from rl_gen_lab.explain import drawing, fooling
    from rl_gen_lab.training.load import folder_of

    image = one_image(config)
    with folder_of(config.run) as run:
        before = fooling.answer(task, image)
        found = fooling.fool(margins, image, config.levels, config.seed, config.steps)
        folder = without_links(run.path / "pictures")
        with save_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(found.image)).save(folder / "fooled.png")
            drawing.panels([panel(pixels(image), pixels(found.image))], side=210).save(folder / "attack.png")
    print(f"before: {before}\nafter:  {fooling.answer(task, found.image)}")
    if found.levels is None:
        most = count(config.levels, "gray level")
        print(f"not reached within {most}; the last attempt: {run.shown(folder / 'fooled.png')}")
    else:
        print(f"by at most {count(found.levels, 'gray level')}: {run.shown(folder / 'fooled.png')}")
    print(run.shown(folder / "attack.png"))
    return found.levels is not None


def fool_several(config: Config, task: Task, margins: Margins) -> bool:
    """Fool the model by several images in a run folder of its own, and return whether one could be.

    Raises: ConfigError, DataError, SaveError.
    """
    from rl_gen_lab.cli.progress import ProgressDisplay
    from rl_gen_lab.cli.values import to_dict
    from rl_gen_lab.explain import fooled_images
    from rl_gen_lab.runs import provenance

    images, said = false_images(config, task), config.say or config.to
    run = RunFolder.create(config.runs_dir, ALGO, config.run.stem, config.seed)
    about = {"config": to_dict(config), "env_id": config.run.stem, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | provenance.of_run("rl_gen_lab.attack"))
    settings = (config.levels, config.seed, config.steps)
    with ProgressDisplay("fooling", len(images), "images") as display:
        found = fooled_images.attempts(task, margins, images, *settings, lambda done: display.update(done, ""))
    rows = fooled_images.rows(found, config.levels, f'"{said}" of {config.run.stem}')
    answers = [{"before": one.before, "after": one.after, "levels": one.found.levels} for one in found]
    run.write_result({"rows": rows, "answers": answers})
    draw(found, run)
    for row in rows:
        print(f"{row['method']:13} {' | '.join(f'{name} {value:.4g}' for name, value in row['measures'].items())}")
    print(run.shown(run.path / "pictures" / "attack.png"))
    return any(one.found.levels is not None for one in found)


def draw(found: list[Attempt], run: RunFolder) -> None:
    """Draw the first images, their changes and what is said of them. Raises: SaveError."""
    from rl_gen_lab.explain import drawing

    folder = run.path / "pictures"
    parts = [
        [
            *panel(pixels(one.image), pixels(one.found.image)),
            ("", drawing.sentences([("before", one.before), ("after", one.after), ("changed by", levels(one))])),
        ]
        for one in found[:SHOWN]
    ]
    with save_errors(folder):
        folder.mkdir(exist_ok=True)
        drawing.panels(parts, side=210).save(folder / "attack.png")


def levels(one: Attempt) -> str:
    """Return the budget of an attempt in words."""
    return "not reached" if one.found.levels is None else f"at most {count(one.found.levels, 'gray level')}"


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Write what fools the model, and print what it says."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.explain import fooling
    from rl_gen_lab.training.load import load_task

    task = load_task(config.run, "classify", "localize", "caption")
    if config.say is not None:
        margins = fooling.sentence_margins(task, config.say)
    else:
        margins = fooling.class_margins(task, str(config.to))
    if not (fool_one if config.images == 1 else fool_several)(config, task, margins):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
