"""Frames that a trained vision model is searched for: what excites a unit, a dream, what each layer keeps.

    python -m rl_gen_lab.visualize runs/detect_ssd__pong_5000_0__0__20260101-120000               # each category
    python -m rl_gen_lab.visualize runs/segment_unet__pong_5000_0__0__20260101-120000 invert
    python -m rl_gen_lab.visualize runs/detect_ssd__pong_5000_0__0__20260101-120000 dream --search.layer X

What is found stands beside the best image of a split. Searches begin at the mean image, which shows nothing.
`python -m agents.visualize` does the same for agents (docs/textures.md). Writes a run folder of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Few, Ranged, Seed
from rl_gen_lab.explain.synthesis.config import SearchConfig
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from rl_gen_lab.explain.synthesis.subject import Subject

ALGO = "visualize"


@dataclass(frozen=True)
class Config(Ranged):
    """Search for images of a vision model."""

    # Run folder of a trained detector, segmenter or classifier, or a packed one, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # What to search for.
    method: Annotated[Literal["maximize", "dream", "invert"], tyro.conf.Positional] = "maximize"
    search: SearchConfig = field(default_factory=SearchConfig)
    # Folder of annotated images (None: the one of the training).
    data: Path | None = None
    # Split of the images.
    split: Literal["train", "val", "test"] = "val"
    # Images beside what is found, spread over the split.
    images: Few = 60
    # Seed of noise and of shifts.
    seed: Seed = 0
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")


def subject_of(config: Config) -> Subject:
    """Return a model with its images. Raises: CheckpointError, ConfigError, DataError."""
    from rl_gen_lab.explain.synthesis.subject import Subject
    from rl_gen_lab.explain.vision import category_scores
    from rl_gen_lab.look import open_split
    from rl_gen_lab.training.load import load_task, read_model

    task = load_task(config.run, "detect", "segment", "classify", "localize")
    split = open_split(config.run, config.data, config.split)
    return Subject(
        network=task.network,
        run=lambda images: category_scores(task, images),
        outputs=lambda images: category_scores(task, images),
        names=tuple(read_model(config.run)[0]["categories"]),
        mean=split.images.float().mean(0),
        frames=split.images[split.evenly_spaced(min(config.images, len(split)))],
        reachable=None,
        depth=3,
    )


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Search, and print what was found and where it is."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.cli.values import to_dict
    from rl_gen_lab.explain.synthesis import views
    from rl_gen_lab.explain.synthesis.textures import one_thread
    from rl_gen_lab.runs import provenance

    one_thread()
    subject = subject_of(config)
    if config.search.layer is not None:
        subject.checked(config.search.layer)
    run = RunFolder.create(config.runs_dir, ALGO, config.run.stem.split("__")[0], config.seed)
    about = {"config": to_dict(config), "env_id": config.run.stem, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | provenance.of_run("rl_gen_lab.visualize"))
    print(run.shown(views.make(subject, config.method, config.search, config.seed, run)))


if __name__ == "__main__":
    main()
