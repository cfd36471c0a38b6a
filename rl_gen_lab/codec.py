"""Frames to a file and back, by a trained generator as entropy coder; and what other lossless coders need for them.

    python -m rl_gen_lab.codec encode runs/generate_vae__pong_5000_0__0__20260101-120000 --file pong.frames
    python -m rl_gen_lab.codec decode runs/generate_vae__pong_5000_0__0__20260101-120000 --file pong.frames --out frames
    python -m rl_gen_lab.codec compare runs/generate_vae__pong_5000_0__0__20260101-120000

`encode` takes the images of a split (by default of the training's own test split) and decodes the file once to be sure;
`decode` writes them as PNG files. The file needs the run to be read, and the same build of torch on the same kind of
processor. `compare` encodes, measures PNG, WebP, xz and, where ffmpeg is installed, JPEG XL, FFV1 and x264, and writes
codec.json into the run folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import OptionalSteps, Ranged
from rl_gen_lab.data.records import DataError, read_bytes
from rl_gen_lab.runs.files import replace_file, save_errors, write_json
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from rl_gen_lab.generators.codec import FrameCodec
    from rl_gen_lab.generators.task import GenerationTask


@dataclass(frozen=True)
class Config(Ranged):
    """Encode, decode or compare."""

    # What to do.
    action: Annotated[Literal["encode", "decode", "compare"], tyro.conf.Positional]
    # Run folder of a generator: a vae, a vq-vae or factorised, with the palette as likelihood.
    run: Annotated[Path, tyro.conf.Positional]
    # The encoded file (encode: none writes frames.rlgf into the run folder).
    file: Path | None = None
    # encode, compare: folder of annotated images (None: the one of the training).
    data: Path | None = None
    # encode, compare: split of the images.
    split: Literal["train", "val", "test"] = "test"
    # encode, compare: the first images of the split only; 0: all.
    frames: OptionalSteps = 0
    # decode: folder for the images.
    out: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.action == "decode" and (self.file is None or self.out is None):
            raise ConfigError("decode needs --file FILE and --out FOLDER")


def encode(config: Config, task: GenerationTask, codec: FrameCodec) -> dict[str, Any]:
    """Encode images, decode them once more, and return the sizes. Raises: DataError, ConfigError."""
    import torch

    from rl_gen_lab.generators.bounds import BITS
    from rl_gen_lab.look import open_split

    split = open_split(config.run, config.data, config.split)
    images = split.images[: config.frames or None]
    file = config.file or config.run / "frames.rlgf"
    with ProgressDisplay(f"encoding {config.split}", len(images), "images") as display:
        data = codec.encode(images, lambda done: display.update(done, ""))
    with ProgressDisplay("decoding them", len(images), "images") as display:
        same = torch.equal(codec.decode(data, lambda done: display.update(done, "")), images)
    if not same:
        raise DataError("the file does not give the images back; please report this")
    replace_file(file, lambda new: new.write_bytes(data))
    with torch.no_grad():
        draws = torch.Generator().manual_seed(0)
        parts = [task.model.bound(part, draws) for part in images.split(25)]
    bound = BITS * sum(float((part.code_length - part.log_likelihood).sum()) for part in parts)
    count = max(len(images), 1)
    return {
        "images": len(images),
        "split": config.split,
        "file_bytes": len(data),
        "bits_per_image": 8 * len(data) / count,
        "bound_bits_per_image": bound / count,
        "file_to_bound": 8 * len(data) / bound if bound else float("nan"),
    }


def decode(config: Config, codec: FrameCodec) -> int:
    """Write the images of a file as PNG files; return their number. Raises: DataError."""
    from PIL import Image

    assert config.file is not None and config.out is not None
    data = read_bytes(config.file)
    if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise ConfigError(f"{config.out} is not empty; choose another --out")
    with ProgressDisplay(f"decoding {config.file.name}", codec.count(data), "images") as display:
        images: Tensor = codec.decode(data, lambda done: display.update(done, ""))
    with save_errors(config.out):
        config.out.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(image).save(config.out / f"{number:06d}.png")
    return len(images)


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Encode, decode or compare."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.generators import reference_coders
    from rl_gen_lab.generators.codec import FrameCodec
    from rl_gen_lab.look import open_split
    from rl_gen_lab.training.load import load_task, weights_digest

    task = cast("GenerationTask", load_task(config.run, "generate"))
    codec = FrameCodec(task.model, weights_digest(config.run), task.size)
    if config.action == "decode":
        print(f"{decode(config, codec):,} images, bit for bit, in {config.out}")
        return
    sizes = encode(config, task, codec)
    file = config.file or config.run / "frames.rlgf"
    print(
        f"{file}: {sizes['images']:,} images in {sizes['file_bytes']:,} bytes, {sizes['bits_per_image']:.1f} bits each"
        f" ({sizes['file_to_bound']:.4f} times the model's bound of {sizes['bound_bits_per_image']:.1f}); decoded once"
    )
    if config.action == "compare":
        images = open_split(config.run, config.data, config.split).images[: config.frames or None]
        sizes["coders"] = reference_coders.sizes(images, lambda name: print(f"measuring {name} ...", flush=True))
        for name, size in sorted(sizes["coders"].items(), key=lambda item: -item[1]):
            kind = " (all images as a sequence)" if name in reference_coders.SEQUENCES else ""
            print(f"{name:8} {8 * size / max(len(images), 1):8.1f} bits an image{kind}")
        run = RunFolder.open(config.run)
        write_json(run.path / "codec.json", sizes)
        print(run.shown(run.path / "codec.json"))


if __name__ == "__main__":
    main()
