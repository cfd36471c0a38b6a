"""Explain a trained vision model: on which pixels the score of an object rests, beside maps without a network.

    python -m rl_gen_lab.explain runs/detect_ssd__pong_5000_0__0__20260101-120000 --object ball
    python -m rl_gen_lab.explain runs/segment_unet__pong_5000_0__0__20260101-120000 integrated-gradients
    python -m rl_gen_lab.explain runs/caption_attention__pong_5000_0__0__20260101-120000 attention

The score of each object is the gap between its category and the background, for the pixels, the anchor or the box of
the true object. Writes pictures/explain_METHOD.png and explain_METHOD.html into the run folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Few, Ranged, Seed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rl_gen_lab.data.dataset import Split
    from rl_gen_lab.explain.vision import Shown
    from rl_gen_lab.training.task import Task

ATTENTION = "attention"
HEAD = (
    *("object", "images", "lift", "untrained twin", "distance from mean", "random"),
    *("share of the image", "points near"),
)


@dataclass(frozen=True)
class Config(Ranged):
    """Explain the scores of a vision model."""

    # Run folder of a trained detector, segmenter, classifier or captioner, or a packed one, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # gradient, gradient-x-input, smoothgrad, integrated-gradients, guided, grad-cam, lrp, occlusion, blur, rise; of a
    # captioner its attention.
    method: Annotated[str, tyro.conf.Positional] = "gradient-x-input"
    # Category whose objects are explained (None: each).
    object: str | None = None
    # Convolution of Grad-CAM (None: the last of the backbone).
    layer: str | None = None
    # Folder of annotated images (None: the one of the training).
    data: Path | None = None
    # Split of the images.
    split: Literal["train", "val", "test"] = "val"
    # Images to score for each category, spread over the split.
    images: Few = 40
    # Images to draw for each category.
    pictures: Few = 2
    # Seed of the untrained twin and of the random map.
    seed: Seed = 0


def _maps(config: Config, task: Task, shown: Shown, name: str, baseline: Tensor) -> dict[str, Tensor] | None:
    """Return maps of an image (C, H, W): the method's and its controls; None for a word that is not said."""
    import torch

    from rl_gen_lab.explain import vision
    from rl_gen_lab.explain.controls import NETWORK_FREE, controlled
    from rl_gen_lab.explain.layers import randomized
    from rl_gen_lab.explain.methods import method_of
    from rl_gen_lab.explain.model import Explained
    from rl_gen_lab.vision.captioning.task import CaptioningTask

    frames = shown.image[None].float()
    if isinstance(task, CaptioningTask):
        own = vision.attention(task, shown.image, name)
        if own is None:
            return None
        trained = task.network
        try:
            task.network = randomized(trained, None, config.seed + 1)  # type: ignore[assignment]
            said = vision.attention(task, shown.image, name)
        finally:
            task.network = trained
        even = torch.full_like(own, 1 / own[0].numel()) if said is None else said
        question = Explained(task.network, lambda network, images, chosen: images.sum((1, 2, 3)), baseline)
        free = {name: make(question, frames, config.seed)[0] for name, make in NETWORK_FREE.items()}
        return {config.method: own, "untrained twin": even} | free
    question = vision.explained(task, shown, baseline)
    method = method_of(config.method, config.layer)
    found = controlled(method, question, frames, torch.zeros(1, dtype=torch.int64), config.seed)
    free = {name: maps[0] for name, maps in found.free.items()}
    return {config.method: found.own[0], "untrained twin": found.twin[0]} | free


def _line(name: str, method: str, found: list[tuple[Shown, dict[str, Tensor]]]) -> list[str]:
    """Return the line of a category: lifts of its map and of the controls, all of the same images."""
    import numpy as np
    import torch

    from rl_gen_lab.explain.localization import located

    lifts, near, area = [], 0.0, 0.0
    for key in (method, "untrained twin", "distance from mean", "random"):
        maps = torch.stack([maps[key].abs().amax(0, keepdim=True) for _, maps in found])
        one = located(maps, torch.stack([shown.mask[None] for shown, _ in found]))
        lifts.append(one.lift(np.arange(len(found))))
        near, area = (float(np.nanmean(one.near)), float(np.nanmean(one.area))) if key == method else (near, area)
    return [name, str(len(found)), *(f"{lift:.1f}" for lift in lifts), f"{area:.3%}", f"{near:.2f}"]


def _picture_row(name: str, shown: Shown, maps: dict[str, Tensor]) -> list[tuple[str, np.ndarray]]:
    import numpy as np

    from rl_gen_lab.explain.drawing import overlay, strongest

    image = np.ascontiguousarray(shown.image.permute(1, 2, 0).numpy())
    drawn = [(key, overlay(image, strongest(map_))) for key, map_ in maps.items() if key != "frame difference"]
    return [(f"{name}, image {shown.index}", image), *drawn]


def wanted_categories(config: Config, categories: tuple[str, ...]) -> list[str]:
    """Return the categories to explain. Raises: ConfigError for one that the data does not have."""
    if config.object is None:
        return list(categories)
    if config.object not in categories:
        known = ", ".join(categories)
        raise ConfigError(f"no object {config.object!r} in the data: {known}.{suggest(config.object, categories)}")
    return [config.object]


def _task(config: Config) -> Task:
    """Load the model. Raises: CheckpointError; ConfigError for a method that it does not have."""
    from rl_gen_lab.explain.methods import METHODS
    from rl_gen_lab.training.load import load_task
    from rl_gen_lab.vision.captioning.task import CaptioningTask

    task = load_task(config.run, "detect", "segment", "classify", "localize", "caption")
    if isinstance(task, CaptioningTask) != (config.method == ATTENTION):
        known = ATTENTION if isinstance(task, CaptioningTask) else ", ".join(METHODS)
        raise ConfigError(f"no method {config.method!r} for this model; there is {known}")
    if config.method not in METHODS and config.method != ATTENTION:
        known = ", ".join(METHODS)
        raise ConfigError(f"no method {config.method!r}; there are {known}.{suggest(config.method, METHODS)}")
    return task


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Write the picture and the page, and print the table."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.explain import drawing, page, vision
    from rl_gen_lab.look import open_split
    from rl_gen_lab.runs.files import save_errors, without_links
    from rl_gen_lab.training.load import folder_of, read_model

    task = _task(config)
    split: Split = open_split(config.run, config.data, config.split)
    categories = tuple(read_model(config.run)[0]["categories"])
    baseline = split.images.float().mean(0)
    with folder_of(config.run) as run:
        lines, rows = [], []
        for name in wanted_categories(config, categories):
            found = []
            for shown in vision.objects(split, categories.index(name), config.images):
                maps = _maps(config, task, shown, name, baseline)
                if maps is not None:
                    found.append((shown, maps))
            if found:
                lines.append(_line(name, config.method, found))
                rows += [_picture_row(name, *one) for one in found[: config.pictures]]
        if not lines:
            raise ConfigError(
                "nothing to explain: no image of this split shows such an object, or no caption names one"
            )
        picture = run.path / "pictures" / f"explain_{config.method}.png"
        with save_errors(picture):
            without_links(picture.parent).mkdir(parents=True, exist_ok=True)
            drawing.panels(rows).save(picture)
        for name, *cells in lines:
            print(f"{name:10} {' | '.join(f'{head} {cell}' for head, cell in zip(HEAD[1:], cells, strict=True))}")
        parts = [
            page.picture(picture, config.method),
            page.heading("Lifts, and their controls"),
            page.table(HEAD, lines),
        ]
        file = page.write(run.path / f"explain_{config.method}.html", f"What {run.path.name} looks at", parts)
        print(f"{run.shown(picture)}\n{run.shown(file)}")


if __name__ == "__main__":
    main()
