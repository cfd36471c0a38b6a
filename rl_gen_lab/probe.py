"""What the code of a generator knows of the true numbers of a frame: linear probes, beside their controls.

    python -m rl_gen_lab.probe runs/generate_vae__pong_5000_0__0__20260101-120000

For each true number of the folder (ball, paddles, scores) a linear classifier reads the code, and beside it the code of
the same network with its first, random weights; `rl_gen_lab.generators.probes` has the protocol, which is AtariARI's.
The table is printed and kept as probe.json in the run folder, with scores of disentanglement: MIG, SAP and DCI
(`rl_gen_lab.generators.disentanglement`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Ranged, Seed
from rl_gen_lab.runs.files import write_json
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from rl_gen_lab.data.dataset import Split
    from rl_gen_lab.generators.interfaces import Generator
    from rl_gen_lab.generators.task import GenerationTask


@dataclass(frozen=True)
class Config(Ranged):
    """Probe the code of a generator."""

    # Run folder of a generator whose code is of numbers.
    run: Annotated[Path, tyro.conf.Positional]
    # Folder of annotated images (None: the one of the training).
    data: Path | None = None
    # Seed of the probes, and of the random network.
    seed: Seed = 0


def untrained(config: Config, images: Tensor) -> Generator:
    """Make the network of a run as it was before its training, with other random weights."""
    import torch

    from rl_gen_lab.cli.saved import from_saved
    from rl_gen_lab.generators.palette import colors_of
    from rl_gen_lab.generators.task import make_generator
    from rl_gen_lab.training.config import Config as TrainingConfig

    run = RunFolder.open(config.run)
    settings = from_saved(TrainingConfig, run.read_config("config")["config"], str(run.config_file)).generate
    torch.manual_seed(config.seed)
    return cast("Generator", make_generator(settings, images, colors_of(images), fit=False).eval())


def encoded(model: Generator, split: Split, kind: str) -> Tensor:
    """Return the codes of a split, (N, Z)."""
    from rl_gen_lab.generators import latent_space

    with ProgressDisplay(f"encoding {split.name}, {kind}", len(split), "images") as display:
        return latent_space.encode_all(model, split.images, lambda done: display.update(done, ""))


def unseen(train: Tensor, test: Tensor) -> Tensor:
    """Return which test images (N, ...) equal no training image: (N,) bool."""
    import torch

    known = {image.numpy().tobytes() for image in train}
    return torch.tensor([image.numpy().tobytes() not in known for image in test], dtype=torch.bool)


def measure(config: Config, codes: dict[str, dict[str, Tensor]], truth: dict[str, dict[str, Tensor]]) -> dict[str, Any]:
    """Probe every variable in every kind of code. codes: kind -> split -> (N, D); truth: split -> variable -> (N,)."""
    from rl_gen_lab.generators import probes

    scores: dict[str, Any] = {}
    names = [name for name, values in truth["train"].items() if _is_probed(name, values, truth)]
    for name in names:
        scores[name] = {}
        for kind, splits in codes.items():
            train, val, test = (probes.Probed(splits[split], truth[split][name]) for split in ("train", "val", "test"))
            with ProgressDisplay(f"probing {name}, {kind}", probes.EPOCHS, "epochs") as display:
                score = probes.probe(train, val, test, config.seed, lambda done: display.update(done, ""))
            scores[name][kind] = asdict(score)
    return scores


def _is_probed(name: str, values: Tensor, truth: dict[str, dict[str, Tensor]]) -> bool:
    from rl_gen_lab.generators import probes

    everywhere = all(name in part and len(part[name][part[name].isfinite()]) for part in truth.values())
    return everywhere and probes.entropy_nats(values[values.isfinite()]) >= probes.LEAST_ENTROPY


def table(scores: dict[str, Any], gaps: dict[str, float], separated: dict[str, float], means: dict[str, float]) -> str:
    """Format the scores: a line for each variable, and their means."""
    lines = [f"{'':14} {'F1':>6} {'untrained':>9} {'majority':>8} {'R2':>6} {'MIG':>5} {'SAP':>5}"]
    for name, score in scores.items():
        one, other = score["code"], score.get("untrained", {}).get("f1", float("nan"))
        numbers = f"{one['f1']:6.3f} {other:9.3f} {one['majority_f1']:8.3f} {one['r2']:6.3f}"
        lines.append(
            f"{name:14} {numbers} {gaps.get(name, float('nan')):5.2f} {separated.get(name, float('nan')):5.2f}"
        )
    lines.append(f"{'mean':14} {means['code']:6.3f} {means.get('untrained', float('nan')):9.3f}")
    return "\n".join(lines)


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Probe, print the table and write probe.json."""
    config = parse_flags(Config, argv, description=__doc__)

    from rl_gen_lab.generators import disentanglement, latent_space
    from rl_gen_lab.generators.config import LEARNED
    from rl_gen_lab.look import open_split
    from rl_gen_lab.training.load import folder_of, load_task

    task = cast("GenerationTask", load_task(config.run, "generate"))
    if not task.has_numbers:
        raise ConfigError(f"the code of {config.run} is not of numbers: probe a vae, an autoencoder or a pca")
    with folder_of(config.run) as run:
        splits: dict[str, Split] = {
            name: open_split(config.run, config.data, name) for name in ("train", "val", "test")
        }
        models = {"code": task.model}
        if task.config.model in LEARNED:
            models["untrained"] = untrained(config, splits["train"].images)
        codes = {
            kind: {name: encoded(model, split, kind) for name, split in splits.items()}
            for kind, model in models.items()
        }
        truth = {name: latent_space.factors(split) for name, split in splits.items()}
        if not truth["train"]:
            raise ConfigError("the images of this folder have no true numbers (slots); envs.scenes writes them")
        new = unseen(splits["train"].images, splits["test"].images)
        if not new.any():
            raise ConfigError("every test image is a training image as well: record more frames")
        truth["test"] = {name: values[new] for name, values in truth["test"].items()}
        for kind in codes:
            codes[kind]["test"] = codes[kind]["test"][new]
        scores = measure(config, codes, truth)
        if not scores:
            raise ConfigError("no true number varies enough in all splits to be probed: record more frames")
        code = codes["code"]["test"]
        gaps = disentanglement.mutual_information_gap(code, truth["test"])
        separated = disentanglement.separated_attribute_predictability(code, truth["test"])
        whole = disentanglement.dci(code, truth["test"])
        means = {kind: sum(score[kind]["f1"] for score in scores.values()) / max(len(scores), 1) for kind in codes}
        record = {"test_images": int(new.sum()), "mean_f1": means, "variables": scores, "mutual_information_gap": gaps}
        record |= {"separated_attribute_predictability": separated, "dci": whole}
        print(table(scores, gaps, separated, means))
        if whole:
            print(" · ".join(f"{name} {value:.2f}" for name, value in whole.items()))
        write_json(run.path / "probe.json", record)
        print(run.shown(run.path / "probe.json"))


if __name__ == "__main__":
    main()
