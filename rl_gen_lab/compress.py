"""Shrink a trained vision model or generator to a packed file, stage by stage, every stage measured on test images.

    python -m rl_gen_lab.compress runs/segment_unet__pong_5000_0__0__20260101-120000 --recipe configs/RECIPE.toml
    python -m rl_gen_lab.compress --resume runs/compress_segment__pong_5000_0__0__20260101-130000

`configs/compress_vision.toml` is a recipe. Each stage (`rl_gen_lab/compression/recipe.py`) learns by the model's own
loss and leaves a packed file in the run folder, which other commands take like a run (`python -m rl_gen_lab.look
FILE.rlz --data FOLDER`); ledger.csv has a row for each.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Ranged, Seed, Threads, WandbConfig
from rl_gen_lab.cli.values import to_dict, to_flat_dict
from rl_gen_lab.runs.folder import RunFolder

ALGO = "compress"


@dataclass(frozen=True)
class Config(Ranged):
    """Compress a trained vision model or generator."""

    # Run folder of a trained model.
    run: Annotated[Path | None, tyro.conf.Positional] = None
    # The recipe, such as configs/compress_vision.toml.
    recipe: Path | None = None
    # Folder of annotated images (None: the one of the training).
    data: Path | None = None
    # Continue the compression in this run folder.
    resume: Path | None = None
    # Seed of the order of images.
    seed: Seed = 0
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")
    # Threads of torch in this process; more than 1 is slower as soon as anything else runs on the machine.
    threads: Threads = 1
    # Weights & Biases.
    wandb: WandbConfig = field(default_factory=WandbConfig)


def _compress(config: Config, run: RunFolder | None, held: ExitStack) -> None:
    import torch

    from rl_gen_lab.compression import recipe as recipes  # here, so that --help needs no torch
    from rl_gen_lab.compression.ledger import carry_out, describe
    from rl_gen_lab.compression.pipeline import Pipeline, rehearse
    from rl_gen_lab.compression.resuming import INPUTS, load_latest, refuse_changed
    from rl_gen_lab.compute.devices import keep_freed_memory
    from rl_gen_lab.data import dataset
    from rl_gen_lab.runs import provenance
    from rl_gen_lab.tracking.tracker import Tracker
    from rl_gen_lab.training.load import weights_digest
    from rl_gen_lab.training.shrinking import OwnTask, refuse_others

    assert config.run is not None
    if run is not None:
        held.enter_context(run.lock())
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    trained = RunFolder.open(config.run)
    refuse_others(trained)
    folder = config.data or Path(str(trained.read_config("config")["config"].get("data")))
    recipe = recipes.read(config.recipe or Path()) if run is None else recipes.of_run(run)
    if recipe.common.robust_levels:
        raise ConfigError("robust_levels is a setting of an agent's student: leave it out of the recipe")
    data, name = dataset.load(folder), folder.resolve().name
    inputs = {f"the weights of {config.run}": weights_digest(config.run), f"the data in {folder}": data.digest()}
    objective = OwnTask(trained, data, recipe.common, config.seed)
    bases = {"as it is": objective.as_it_is}
    if run is None:
        rehearse(recipe, objective)
        run = RunFolder.create(config.runs_dir, f"{ALGO}_{objective.config.task}", name, config.seed)
        held.enter_context(run.lock())
        about: dict[str, Any] = {"config": to_dict(config), "recipe": recipe.to_dict(), INPUTS: inputs}
        about |= {"env_id": name, "exp_name": ALGO, "seed": config.seed}
        run.write_config(about | provenance.of_run("rl_gen_lab.compress"))
        pipeline = Pipeline(recipe, objective, run, bases=bases)
    else:
        refuse_changed(run, inputs)
        pipeline = Pipeline(recipe, objective, run, bases=bases)
        load_latest(pipeline)
    tracker = Tracker.start(
        run,
        config.wandb,
        algo=f"{ALGO}_{objective.config.task}",
        env_id=name,
        seed=config.seed,
        flat_config=to_flat_dict(config),
        fingerprint_hash=data.digest(),
        job_type=ALGO,
    )
    print(f"run folder {run}", flush=True)
    rows = carry_out(pipeline, bases, tracker, "rl_gen_lab.compress")
    print(describe(rows, run, "-m rl_gen_lab.look", "--data", folder))


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Run a recipe on a trained model."""
    config, run = parse_flags(Config, argv, description=Config.__doc__), None
    if (config.run is None) == (config.resume is None):
        raise ConfigError("name the run folder of a trained model, or --resume a compression")
    if config.resume is None and config.recipe is None:
        raise ConfigError("--recipe is missing: name one, such as configs/compress_vision.toml")
    if config.resume is not None:
        from rl_gen_lab.compression.resuming import nothing_left, saved_config

        run = RunFolder.open(config.resume)
        config = saved_config(Config, run, "rl_gen_lab.compress", argv)
        if nothing_left(run):
            return
    with ExitStack() as held:  # the lock of the run folder
        _compress(config, run, held)


if __name__ == "__main__":
    main()
