"""Look into a trained generator: samples, ways between two frames, what each number of the code changes.

    python -m rl_gen_lab.sample runs/generate_vae__pong_5000_0__0__20260101-120000
    python -m rl_gen_lab.sample runs/generate_vae__pong_5000_0__0__20260101-120000 --prior mixture --samples 500

Figures are written into the run folder, under pictures/: samples.png, and for codes of numbers interpolations.png,
traversals.png (the numbers that tell most of the true positions, with the squared correlation) and map.png (the codes
in a plane, colored by the truth). Samples are also proven: could they be frames of the game? sample.json keeps the
share that could, beside that of real held-out images.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import tyro
from annotated_types import Interval

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Count, Ranged, Seed
from rl_gen_lab.runs.files import save_errors, without_links, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from rl_gen_lab.data.dataset import Split
    from rl_gen_lab.generators.task import GenerationTask
    from rl_gen_lab.generators.vae import VariationalAutoencoder

BOUND_CODES, BOUND_IMAGES = (1, 50), 20  # for the importance-weighted bound
SHOWN, COLUMNS, STEPS, TRAVERSED, FACTORS = 16, 8, 9, 8, 4  # samples, images in a row, of a way; numbers; factors


@dataclass(frozen=True)
class Config(Ranged):
    """Draw from a generator and look at its codes."""

    # Run folder of a generator.
    run: Annotated[Path, tyro.conf.Positional]
    # Folder of annotated images (None: the one of the training).
    data: Path | None = None
    # Samples to draw and to prove; the first 16 are shown.
    samples: Annotated[int, Interval(ge=1, le=100_000)] = 200
    # Where samples come from. own: the distribution that the model was trained with; mixture: Gaussians fitted to the
    # codes of the training images; auto: own where there is one.
    prior: Literal["auto", "own", "mixture"] = "auto"
    # Gaussians of a mixture.
    components: Count = 64
    # Seed of the samples.
    seed: Seed = 0


def write_samples(config: Config, task: GenerationTask, train: Split, held_out: Split, folder: Path) -> dict[str, Any]:
    """Draw samples, write the figure, prove them and as many held-out images; return the shares."""
    from rl_gen_lab.generators import latent_space, pictures
    from rl_gen_lab.generators.proof import make_proof

    title = "encoding the training images"

    def train_codes() -> Tensor:
        with ProgressDisplay(title, len(train), "images") as display:
            return latent_space.encode_all(task.model, train.images, lambda done: display.update(done, ""))

    prior = config.prior if config.prior != "auto" else "mixture" if task.config.model == "autoencoder" else "own"
    codes = latent_space.draw_codes(task.model, config.samples, prior, train_codes, config.components, config.seed)
    samples = task.draw(codes)
    rows = [list(samples[start : start + COLUMNS]) for start in range(0, min(SHOWN, len(samples)), COLUMNS)]
    labels = ["samples" if number == 0 else "" for number in range(len(rows))]
    pictures.draw_grid(rows, labels).save(folder / "samples.png")
    result: dict[str, Any] = {"prior": prior, "seed": config.seed}
    if task.palette is None or (proof := make_proof(train, task.palette, task.categories)) is None:
        return result
    for name, images in (("samples", samples), ("held_out_images", held_out.images[: config.samples])):
        with ProgressDisplay(f"proving {name.replace('_', ' ')}", len(images), "images") as display:
            verdict = proof.judge(images, lambda done: display.update(done, ""))
        result[name] = {"images": len(images), "valid_share": verdict.valid_share, "objects": verdict.objects}
        result[name]["problems"] = dict(verdict.problems.most_common(5))
    return result


def bounds_of(model: VariationalAutoencoder, images: Tensor, seed: int) -> dict[str, float]:
    """Return the bound on the bits of an image by so many codes each: more come closer to its true length."""
    import torch

    from rl_gen_lab.generators.bounds import BITS

    bits = {}
    for codes in BOUND_CODES:
        draws = torch.Generator().manual_seed(seed)
        bits[str(codes)] = -BITS * float(model.importance_bound(images, codes, draws).mean())
    return bits


def write_figures_of_codes(task: GenerationTask, held_out: Split, folder: Path) -> dict[str, Any]:
    """Write interpolations, traversals and the map; return what the numbers of the code tell of the truth."""
    import torch

    from rl_gen_lab.generators import latent_space, pictures

    codes = latent_space.encode_all(task.model, held_out.images)
    truth = latent_space.factors(held_out)
    ends = held_out.evenly_spaced(4)
    ways = [task.draw(latent_space.between(codes[a], codes[b], STEPS)) for a, b in itertools.pairwise(ends)]
    labels = [f"from image {a} to image {b}" for a, b in itertools.pairwise(ends)]
    pictures.draw_grid([list(way) for way in ways], labels).save(folder / "interpolations.png")

    told = latent_space.dependence(codes, truth)
    order = told.amax(0).argsort(descending=True) if truth else codes.var(0).argsort(descending=True)
    rows, labels = [], []
    for number in order[:TRAVERSED].tolist():
        values = codes[:, number].quantile(torch.linspace(0.02, 0.98, STEPS))
        rows.append(list(task.draw(latent_space.traversal(codes[ends[1]], number, values))))
        best = [f"{told[i, number]:.2f} of {name}" for i, name in enumerate(truth) if told[i, number] >= 0.1]
        labels.append(f"number {number}: {', '.join(best) or 'tells little'}")
    pictures.draw_grid(rows, labels).save(folder / "traversals.png")
    if truth and codes.shape[1] >= 2:
        ball_first = sorted(truth, key=lambda name: not name.startswith("ball_"))
        shown = {name: truth[name] for name in ball_first[:FACTORS]}
        pictures.draw_map(latent_space.plane(codes), shown).save(folder / "map.png")
    return {name: {"number": int(row.argmax()), "r2": float(row.max())} for name, row in zip(truth, told, strict=True)}


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Write the figures and print their files."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.generators.vae import VariationalAutoencoder
    from rl_gen_lab.look import open_split
    from rl_gen_lab.training.load import folder_of, load_task

    task = cast("GenerationTask", load_task(config.run, "generate"))
    train, held_out = (open_split(config.run, config.data, split) for split in ("train", "test"))
    with folder_of(config.run) as run:
        folder = without_links(run.path / "pictures")
        with save_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            result = write_samples(config, task, train, held_out, folder)
            if task.has_numbers and len(held_out) > 1:
                result["best_numbers"] = write_figures_of_codes(task, held_out, folder)
        if isinstance(task.model, VariationalAutoencoder) and task.exact:
            result["bound_bits"] = bounds_of(task.model, held_out.images[:BOUND_IMAGES], config.seed)
        write_json(run.path / "sample.json", result)
        for name in ("samples", "held_out_images"):
            if name in result:
                part = result[name]
                objects = ", ".join(f"{count:.2f} {category}" for category, count in part["objects"].items())
                what = f"{part['images']:,} {name.replace('_', ' ')} could be frames"
                print(f"{part['valid_share']:.1%} of {what}; a valid one shows on average {objects}")
        for codes, bits in result.get("bound_bits", {}).items():
            print(f"bound by {codes} codes an image, first held-out images: {bits:.1f} bits")
        for name, best in result.get("best_numbers", {}).items():
            print(f"{name}: number {best['number']} tells {best['r2']:.2f} of its variance")
        for name in ("samples", "interpolations", "traversals", "map"):
            if (folder / f"{name}.png").is_file():
                print(run.shown(folder / f"{name}.png"))
        print(run.shown(run.path / "sample.json"))


if __name__ == "__main__":
    main()
