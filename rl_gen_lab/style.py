"""A picture, or the frames of a game, in the style of another: searched for, by a network for one style, or for any.

    python -m rl_gen_lab.style chelsea coffee                                        # search, seconds
    python -m rl_gen_lab.style photo.jpg cells colors,search
    python -m rl_gen_lab.style datasets/pong_5000_0 cells fast      # trains, then a pass for each frame
    python -m rl_gen_lab.style datasets/pong_5000_0 datasets/breakout_5000_0 search --detector runs/RUN
    python -m rl_gen_lab.style datasets/pong_5000_0 cells fast --augment datasets/pong_cells   # frames to train on
    python -m rl_gen_lab.style datasets/pong_5000_0 grass any --network runs/style__cells__0__20260101-120000

CONTENT and STYLE are files, names of pictures that scikit-image ships, or folders of annotated images: of a content
`--images` of a split, of a style the middle one. `--detector` says what a detector still finds. The run
folder gets the pictures, strip.png, result.json and the networks (docs/textures.md).
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
from rl_gen_lab.cli.settings import Few, NotNegative, Ranged, Seed, Share
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from rl_gen_lab.data.dataset import Split
    from rl_gen_lab.explain.synthesis.styled import Stylist

ALGO = "style"
SHOWN, LEARNED_FROM = 3, 200  # pictures in the strip; images of a folder that networks learn from
SMALLEST = 16  # pixels of a side


@dataclass(frozen=True)
class Config(Ranged):
    """Restyle pictures."""

    # A file, a name of a shipped picture (as of texture), or a folder of annotated images.
    content: Annotated[str, tyro.conf.Positional]
    # Likewise.
    style: Annotated[str, tyro.conf.Positional]
    # search (L-BFGS); fast, a network for this style; any, a network for any style (adaptive instance normalization,
    # which learns without this style); colors, the baseline; several, joined by commas; all.
    method: Annotated[str, tyro.conf.Positional] = "search"
    # Height and width to which pictures are fitted; images of a folder keep their size [pixels].
    size: Annotated[int, Interval(ge=SMALLEST, le=2_048)] = 128
    # Images of a folder to restyle, spread over the split.
    images: Few = 3
    # Split of these images.
    split: Literal["train", "val", "test"] = "test"
    # Run of a detector, whose F1 on the restyled images is measured.
    detector: Path | None = None
    # search: steps of L-BFGS.
    iterations: Few = 60
    # Weight of what is kept of the content.
    content_weight: NotNegative = 1.0
    # Weight of the style.
    style_weight: NotNegative = 20.0
    # Weight of total variation.
    variation: NotNegative = 0.05
    # any: share of the style.
    strength: Share = 1.0
    # fast, any: updates of the training.
    updates: Few = 600
    # fast, any: an earlier run of this command, whose network is used instead.
    network: Path | None = None
    # Folder for a copy of the content's folder, in which a share of the training images has the style and all others,
    # those of validation and test among them, stay as they are: to train on (rl_gen_lab.train --data).
    augment: Path | None = None
    # augment: this share of the training images, which are drawn by chance and restyled in place.
    share: Share = 0.5
    # Seed of noise, first weights and random encoders.
    seed: Seed = 0
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.augment is None and self.share != type(self).share:
            raise ConfigError("--share is a setting of --augment FOLDER, which is not given")


def opened(name: str, size: int, split: str) -> tuple[Tensor, Split | None]:
    """Return the pictures of a name (N, 3, H, W) uint8, and the split of a folder. Raises: DataError, ConfigError."""
    import torch

    from rl_gen_lab.data import dataset
    from rl_gen_lab.data.pictures import fitted, read_picture

    if Path(name).is_dir():
        part = dataset.load(Path(name)).splits[split]
        return part.images, part
    picture = read_picture(name)
    if min(picture.shape[:2]) < SMALLEST:
        raise ConfigError(f"{name} is {picture.shape[1]} x {picture.shape[0]}: pictures of {SMALLEST} pixels or more")
    return torch.from_numpy(fitted(picture, size, size).copy()).permute(2, 0, 1)[None], None


def learned_from(config: Config, contents: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pictures that networks learn contents from, and styles. Raises: DataError."""
    import torch

    from rl_gen_lab.data.pictures import PICTURES, SHIPPED
    from rl_gen_lab.data.records import DataError

    try:
        styles = [opened(name, 160, config.split)[0] for name in SHIPPED if name not in (config.style, config.content)]
    except DataError as error:
        raise ConfigError(
            f"the method any learns styles from the pictures that scikit-image ships: {PICTURES}, or name an earlier"
            " run of it, --network RUN"
        ) from error
    if Path(config.content).is_dir():
        train, _ = opened(config.content, config.size, "train")
        return train[:: max(len(train) // LEARNED_FROM, 1)], torch.cat(styles)
    return contents, torch.cat(styles)


def prepared(config: Config, methods: list[str], run: RunFolder | None, contents: Tensor, style: Tensor) -> Stylist:
    """Return what restyles. Raises: CheckpointError, DataError, ConfigError."""
    from rl_gen_lab.explain.synthesis.style import Weights
    from rl_gen_lab.explain.synthesis.styled import Stylist

    trains = config.network is None and {"fast", "any"} & set(methods)
    if config.network is not None and not {"fast", "any"} & set(methods):
        raise ConfigError("--network is a setting of the methods fast and any")
    sources, others = contents, style
    if trains and "any" in methods:
        sources, others = learned_from(config, contents)
    elif trains and Path(config.content).is_dir():
        train, _ = opened(config.content, config.size, "train")
        sources = train[:: max(len(train) // LEARNED_FROM, 1)]
    return Stylist(
        style=style.float() / 255,
        contents=sources,
        others=others,
        weights=Weights(config.content_weight, config.style_weight, config.variation),
        iterations=config.iterations,
        updates=config.updates,
        strength=config.strength,
        seed=config.seed,
        kept=Path() if run is None else run.checkpoints,
        learned=None if config.network is None else RunFolder.open(config.network).checkpoints,
    )


def augment(config: Config, stylist: Stylist, methods: list[str]) -> None:
    """Write the restyled copy of the content's folder. Raises: ConfigError, DataError, SaveError."""
    from rl_gen_lab.cli.progress import ProgressDisplay
    from rl_gen_lab.explain.synthesis.augmentation import write_copy

    assert config.augment is not None
    (method,) = methods
    # What has just been trained lies in the run folder.
    apply, _ = (stylist if method not in ("fast", "any") or stylist.learned else stylist.again()).prepare(method)
    with ProgressDisplay("restyling", 1, "images") as display:

        def told(done: int, total: int) -> None:
            display.total = total
            display.update(done, "")

        count = write_copy(Path(config.content), config.augment, apply, config.share, config.seed, told)
    print(f"{config.augment}: {count} training images restyled")


def make(config: Config, methods: list[str], run: RunFolder, contents: Tensor, split: Split | None, task: Any) -> None:
    """Restyle by every method in the run folder, its measures in result.json."""
    from PIL import Image

    from rl_gen_lab.explain.drawing import panels
    from rl_gen_lab.explain.synthesis import styled
    from rl_gen_lab.explain.synthesis.measures import as_picture

    indices = split.evenly_spaced(config.images) if split is not None else [0]
    own = [contents[index : index + 1].float() / 255 for index in indices]
    found, _ = opened(config.style, config.size, config.split)
    style = found[len(found) // 2 :][:1]
    stylist = prepared(config, methods, run, contents, style)
    subject = f"{Path(config.content).name} as {Path(config.style).name}"
    rows: list[dict[str, Any]] = []
    strips = [[("content", as_picture(one)), ("style", as_picture(stylist.style))] for one in own[:SHOWN]]
    for method in (styled.AS_IT_IS, *methods):
        seconds, training, made = 0.0, 0.0, own
        if method != styled.AS_IT_IS:
            apply, training = stylist.prepare(method)
            made, seconds = styled.restyled(apply, own, method)
        measures = styled.compared(made, own, stylist.style)
        if task is not None and split is not None:
            measures |= styled.detected(task, split, indices, made)
        if method != styled.AS_IT_IS:
            measures |= {"core_seconds": round(seconds, 3), "training_core_seconds": round(training, 1)}
            with save_errors(run.path):
                (run.path / "pictures").mkdir(exist_ok=True)
                for number, one in enumerate(made):
                    Image.fromarray(as_picture(one)).save(run.path / "pictures" / f"{method}_{number}.png")
            for strip, one in zip(strips, made, strict=False):
                strip.append((f"{method}, {seconds:.2g} s", as_picture(one)))
        rows.append({"subject": subject, "method": method, "measures": measures})
    with save_errors(run.path):
        panels(strips).save(run.path / "pictures" / "strip.png")
    run.write_result({"rows": rows, "pictures": len(own)})
    for row in rows:
        print(f"{row['method']:10} {' | '.join(f'{name} {value:.4f}' for name, value in row['measures'].items())}")
    print(run.shown(run.path / "pictures" / "strip.png"))
    if config.augment is not None:
        augment(config, stylist, methods)


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Restyle, and print how near it came."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.cli.values import to_dict
    from rl_gen_lab.data import dataset
    from rl_gen_lab.explain.methods import chosen_methods
    from rl_gen_lab.explain.synthesis.augmentation import check_target, restyled_rows
    from rl_gen_lab.explain.synthesis.styled import METHODS
    from rl_gen_lab.explain.synthesis.textures import one_thread
    from rl_gen_lab.runs import provenance
    from rl_gen_lab.training.load import load_task

    one_thread()
    methods = chosen_methods(config.method, METHODS)
    contents, split = opened(config.content, config.size, config.split)
    style, _ = opened(config.style, config.size, config.split)
    if config.detector is not None and split is None:
        raise ConfigError("--detector finds objects in frames: let CONTENT be a folder of annotated images")
    if config.augment is not None:
        if split is None or len(methods) > 1:
            raise ConfigError("--augment copies a folder of annotated images, by one method")
        check_target(Path(config.content), config.augment)
        restyled_rows(len(dataset.load(Path(config.content)).splits["train"]), config.share, config.seed)
    task = None if config.detector is None else load_task(config.detector, "detect")
    stylist = prepared(config, methods, None, contents, style[:1])  # what is wrong is said before a folder is made
    stylist.refuse_lost_networks(methods)
    run = RunFolder.create(config.runs_dir, ALGO, Path(config.style).stem, config.seed)
    about = {"config": to_dict(config), "env_id": config.content, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | provenance.of_run("rl_gen_lab.style"))
    make(config, methods, run, contents, split, task)


if __name__ == "__main__":
    main()
