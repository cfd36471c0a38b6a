"""Frames to a file and back, by a trained generator as entropy coder; and what other lossless coders need for them.

    python -m rl_gen_lab.codec encode runs/generate_vae__pong_5000_0__0__20260101-120000 --file pong.frames
    python -m rl_gen_lab.codec decode runs/generate_vae__pong_5000_0__0__20260101-120000 --file pong.frames --out frames
    python -m rl_gen_lab.codec compare runs/generate_vae__pong_5000_0__0__20260101-120000

    python -m rl_gen_lab.codec encode runs/dream_pixels__pong__0__20260101-120000 --frames 1000

A model of a world encodes recorded play instead, frame by frame with the actions.

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
    from rl_gen_lab.generators.world_models.sequence_codec import SequenceCodec


@dataclass(frozen=True)
class Config(Ranged):
    """Encode, decode or compare."""

    # What to do.
    action: Annotated[Literal["encode", "decode", "compare"], tyro.conf.Positional]
    # Run folder of a generator (a vae, a vq-vae or factorised, with the palette as likelihood) or of a world of pixels.
    run: Annotated[Path, tyro.conf.Positional]
    # The encoded file (encode: none writes frames.rlgf into the run folder).
    file: Path | None = None
    # encode, compare: folder of annotated images, or of recorded play (None: the one of the training).
    data: Path | None = None
    # encode, compare: split of the images.
    split: Literal["train", "val", "test"] = "test"
    # encode, compare: the first images or steps of the split only; 0: all.
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
    _refuse_full(config.out)
    with ProgressDisplay(f"decoding {config.file.name}", codec.count(data), "images") as display:
        images: Tensor = codec.decode(data, lambda done: display.update(done, ""))
    with save_errors(config.out):
        config.out.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(image).save(config.out / f"{number:06d}.png")
    return len(images)


def encode_play(config: Config, codec: SequenceCodec, context: int) -> tuple[dict[str, Any], Tensor]:
    """Encode recorded play, decode it once more; return the sizes, and the frames as images. Raises: DataError."""
    import torch

    from rl_gen_lab.generators.world_models import recording
    from rl_gen_lab.generators.world_models.interfaces import painted

    folder = config.data or Path(RunFolder.open(config.run).read_config("config")["config"]["data"])
    play, left = [], config.frames or 10**12
    for episode in recording.load(folder, context, 1, codec.world).splits[config.split].episodes:
        steps = min(len(episode), left)
        if steps:
            play.append((episode.frames[: steps + 1], episode.executed[:steps]))
        left -= steps
    count = sum(len(executed) for _, executed in play)
    if not count:
        raise DataError(f"{folder} has no steps in {config.split}")
    with ProgressDisplay(f"encoding {config.split}", count, "steps") as display:
        data = codec.encode(play, lambda done: display.update(done, ""))
    with ProgressDisplay("decoding them", count, "steps") as display:
        again = codec.decode(data, lambda done: display.update(done, ""))
    if not all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(play, again, strict=True)):
        raise DataError("the file does not give the play back; please report this")
    replace_file(config.file or config.run / "frames.rlgf", lambda new: new.write_bytes(data))
    bound = codec.bound_bits(play)
    sizes = {
        "images": count,
        "split": config.split,
        "file_bytes": len(data),
        "bits_per_image": 8 * len(data) / count,
        "bound_bits_per_image": bound / count,
        "file_to_bound": 8 * len(data) / bound,
    }
    return sizes, torch.cat([painted(frames[1:], codec.world.colors) for frames, _ in play])


def decode_play(config: Config, codec: SequenceCodec) -> int:
    """Write the episodes of a file as NPZ files; return the number of steps. Raises: DataError."""
    import numpy as np

    assert config.file is not None and config.out is not None
    data = read_bytes(config.file)
    _refuse_full(config.out)
    with ProgressDisplay(f"decoding {config.file.name}", codec.steps(data), "steps") as display:
        episodes = codec.decode(data, lambda done: display.update(done, ""))
    with save_errors(config.out):
        config.out.mkdir(parents=True, exist_ok=True)
        for number, (frames, executed) in enumerate(episodes):
            file, colors = config.out / f"{number:05d}.npz", codec.world.colors.numpy()
            np.savez_compressed(file, frames=frames.numpy(), executed=executed.numpy(), colors=colors)
    return codec.steps(data)


def _refuse_full(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; choose another --out")


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Encode, decode or compare."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.generators.codec import FrameCodec
    from rl_gen_lab.generators.world_models.pixels import PixelDream
    from rl_gen_lab.look import open_split
    from rl_gen_lab.training.load import folder_of, load_dream, load_task, task_of, weights_digest

    if task_of(RunFolder.open(config.run)) == "dream":
        from rl_gen_lab.generators.world_models import sequence_codec

        dream = load_dream(config.run)
        if not isinstance(dream.model, PixelDream):
            raise ConfigError("a world in codes gives pixels no probabilities: encode with --dream.model pixels")
        play_codec = sequence_codec.SequenceCodec(dream.model, dream.world, dream.digest)
        if config.action == "decode":
            print(f"{decode_play(config, play_codec):,} steps, bit for bit, in {config.out}")
            return
        with folder_of(config.run):
            sizes, images = encode_play(config, play_codec, dream.context)
            _report(config, sizes, images)
        return

    task = cast("GenerationTask", load_task(config.run, "generate"))
    codec = FrameCodec(task.model, weights_digest(config.run), task.size)
    if config.action == "decode":
        print(f"{decode(config, codec):,} images, bit for bit, in {config.out}")
        return
    with folder_of(config.run):
        sizes = encode(config, task, codec)
        _report(config, sizes, open_split(config.run, config.data, config.split).images[: config.frames or None])


def _report(config: Config, sizes: dict[str, Any], images: Tensor) -> None:
    """Print the size of the file, and of what other coders need, which is kept as codec.json."""
    from rl_gen_lab.generators import reference_coders

    file = config.file or config.run / "frames.rlgf"
    print(
        f"{file}: {sizes['images']:,} images in {sizes['file_bytes']:,} bytes, {sizes['bits_per_image']:.1f} bits each"
        f" ({sizes['file_to_bound']:.4f} times the model's bound of {sizes['bound_bits_per_image']:.1f}); decoded once"
    )
    if config.action == "compare":
        sizes["coders"] = reference_coders.sizes(images, lambda name: print(f"measuring {name} ...", flush=True))
        for name, size in sorted(sizes["coders"].items(), key=lambda item: -item[1]):
            kind = " (all images as a sequence)" if name in reference_coders.SEQUENCES else ""
            print(f"{name:8} {8 * size / max(len(images), 1):8.1f} bits an image{kind}")
        run = RunFolder.open(config.run)
        write_json(run.path / "codec.json", sizes)
        print(run.shown(run.path / "codec.json"))


if __name__ == "__main__":
    main()
