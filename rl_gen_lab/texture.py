"""More of a texture: from patches, pixel by pixel, or by Gram matrices of filters, beside the floor and the ceiling.

    python -m rl_gen_lab.texture grass                               # quilting, a second
    python -m rl_gen_lab.texture brick random-filters --long-range 1
    python -m rl_gen_lab.texture photo.jpg all --size 128            # every method side by side
    python -m rl_gen_lab.texture gravel trained --encoder runs/detect_ssd__pong_5000_0__0__20260101-120000

PICTURE is a file, or the name of a picture that scikit-image ships. Its upper left square is what textures are made
of; crops of the rest are the floor of every measure, its own pixels in random places the ceiling. Nothing is
pretrained. The run folder gets the pictures, strip.png with all side by side, and result.json with the measures
(docs/textures.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Few, NotNegative, Ranged, Seed
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    import numpy as np

    from rl_gen_lab.explain.synthesis.encoders import Encoder
    from rl_gen_lab.explain.synthesis.textures import Texture

ALGO = "texture"
Side = Annotated[int, Interval(ge=4, le=4_096)]


@dataclass(frozen=True)
class Config(Ranged):
    """Make more of a texture."""

    # A file, or a name: astronaut, brick, camera, cells, chelsea, coffee, coins, grass, gravel, hubble, rocket.
    picture: Annotated[str, tyro.conf.Positional]
    # quilting; pixels (Efros-Leung); random-filters, random-network, patch-means, trained (by Gram matrices of these);
    # several, joined by commas; all (trained only with --encoder).
    method: Annotated[str, tyro.conf.Positional] = "quilting"
    # Height and width of the texture [pixels].
    size: Side = 96
    # Side of the picture's upper left square that it is made of [pixels]; the rest is held out.
    source: Side = 192
    # quilting: side of the patches [pixels].
    patch: Annotated[int, Interval(ge=2, le=1_024)] = 32
    # quilting: pixels by which neighbors overlap.
    overlap: Annotated[int, Interval(ge=1, le=1_023)] = 10
    # quilting, pixels: what a match may differ more than the best one, as a share.
    tolerance: NotNegative = 0.1
    # pixels: side of the surroundings that are compared, odd [pixels].
    window: Annotated[int, Interval(ge=3, le=101)] = 11
    # Gram matrices: steps of L-BFGS.
    iterations: Few = 80
    # Gram matrices: weight of the correlations with the shifted picture; 0: filters alone.
    long_range: NotNegative = 0.0
    # trained: run folder of a detector, segmenter or classifier, or a packed one, FILE.rlz.
    encoder: Path | None = None
    # trained: its layers (none: all convolutions of its backbone).
    layers: tuple[str, ...] = ()
    # Seed of patches, filters and noise.
    seed: Seed = 0
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")

    def __post_init__(self) -> None:
        """Refuse impossible combinations."""
        super().__post_init__()
        if self.overlap >= self.patch:
            raise ConfigError(
                f"--overlap {self.overlap} leaves nothing of --patch {self.patch}: choose a smaller overlap"
            )
        if self.window % 2 == 0:
            raise ConfigError(f"--window must be odd, to have a pixel in its middle: {self.window + 1}, say")


def chosen(config: Config) -> list[str]:
    """Return the methods to run. Raises: ConfigError."""
    from rl_gen_lab.explain.methods import ALL, chosen_methods
    from rl_gen_lab.explain.synthesis.textures import METHODS

    if config.method == ALL and config.encoder is None:
        return [name for name in METHODS if name != "trained"]
    methods = chosen_methods(config.method, METHODS)
    if config.encoder is None and "trained" in methods:
        raise ConfigError("the method trained needs --encoder RUN, the run of a detector, segmenter or classifier")
    if config.encoder is not None and "trained" not in methods:
        raise ConfigError("--encoder is a setting of the method trained")
    return methods


def trained_encoder(config: Config) -> Encoder | None:
    """Return the layers of a trained model as an encoder. Raises: CheckpointError; ConfigError for an unknown layer."""
    if config.encoder is None:
        if config.layers:
            raise ConfigError("--layers needs --encoder RUN")
        return None
    from rl_gen_lab.explain.synthesis.encoders import of_task
    from rl_gen_lab.training.load import load_task

    return of_task(load_task(config.encoder, "detect", "segment", "classify", "localize"), config.layers)


def prepared(config: Config, methods: list[str]) -> tuple[Texture, list[np.ndarray]]:
    """Return what is to be made, and the held-out crops. Raises: DataError, ConfigError, CheckpointError."""
    from rl_gen_lab.data.pictures import read_picture
    from rl_gen_lab.explain.synthesis.textures import Texture, held_out

    picture = read_picture(config.picture)
    smallest = min(picture.shape[:2])
    side = min(config.source, smallest)
    names = ("patch", "overlap", "tolerance", "window", "iterations", "long_range", "seed")
    settings: dict[str, Any] = {name: getattr(config, name) for name in names}
    texture = Texture(picture[:side, :side], config.size, config.size, **settings, trained=trained_encoder(config))
    for name, method, needed in (("patch", "quilting", config.patch), ("window", "pixels", config.window)):
        if method in methods and needed > side:
            raise ConfigError(f"--{name} is {needed} pixels, {config.picture} only {side}: choose at most {side}")
    return texture, held_out(picture, side, config.size, config.size)


def make(config: Config, run: RunFolder, methods: list[str], texture: Texture, crops: list[np.ndarray]) -> None:
    """Make every texture in the run folder, its measures in result.json. Raises: ConfigError, SaveError."""
    from PIL import Image

    from rl_gen_lab.explain.drawing import panels
    from rl_gen_lab.explain.synthesis import textures
    from rl_gen_lab.explain.synthesis.measures import measured

    pictures, rows = run.path / "pictures", list[dict[str, Any]]()
    shown = [("source", texture.source), *([("held out", crops[0])] if crops else [])]
    for method in methods:
        with ProgressDisplay(method, 1, "steps") as display:

            def told(done: int, total: int, display: ProgressDisplay = display) -> None:
                display.total = total
                display.update(done, "")

            made, seconds = texture.make(method, told)
        measures = measured(made, texture.source) | {"core_seconds": round(seconds, 2)}
        rows.append({"subject": config.picture, "method": method, "measures": measures})
        with save_errors(pictures):
            pictures.mkdir(exist_ok=True)
            Image.fromarray(made).save(pictures / f"{method}.png")
        shown.append((f"{method}, {seconds:.0f} s", made))
    found = textures.controls(texture.source, crops, config.size, config.size, config.seed)
    if crops:
        rows.append({"subject": config.picture, "method": textures.HELD_OUT, "measures": textures.mean_of(found[:-1])})
    rows.append({"subject": config.picture, "method": textures.SHUFFLED, "measures": found[-1]})
    with save_errors(pictures):
        panels([shown]).save(pictures / "strip.png")
    run.write_result({"rows": rows, "held_out": len(crops)})
    for row in rows:
        cells = (f"{name} {value:.4f}" for name, value in row["measures"].items())
        print(f"{row['method']:16} {' | '.join(cells)}")
    print(run.shown(pictures / "strip.png"))


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Make textures, and print how they compare."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.cli.values import to_dict
    from rl_gen_lab.explain.synthesis.textures import one_thread
    from rl_gen_lab.runs import provenance

    one_thread()
    methods = chosen(config)
    texture, crops = prepared(config, methods)
    run = RunFolder.create(config.runs_dir, ALGO, Path(config.picture).stem, config.seed)
    about = {"config": to_dict(config), "env_id": config.picture, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | provenance.of_run("rl_gen_lab.texture"))
    make(config, run, methods, texture, crops)


if __name__ == "__main__":
    main()
