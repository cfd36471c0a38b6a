"""Going on with a compression: by its own settings, with the models and images that it began with."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.flags import refuse_other_flags
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.runs.ending import finished_result, fitting_checkpoint, say_nothing_left
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from rl_gen_lab.compression.pipeline import Pipeline

LEDGER = "ledger.csv"
INPUTS = "inputs"  # in config.json: what the compression works on, by name, with digests
Config = TypeVar("Config")


def saved_config(config_class: type[Config], run: RunFolder, module: str, argv: Sequence[str] | None) -> Config:
    """Return the settings of a compression. module: of its command; argv: the whole command line.

    Raises: CheckpointError for a run of another command; ConfigError for another flag than --resume.
    """
    saved = run.read_config("config")
    if run.made_by() != f"python -m {module}":
        raise CheckpointError(f"{run} is a run of {run.made_by()}, not of python -m {module}")
    refuse_other_flags(sys.argv[1:] if argv is None else argv, ("--resume",))
    return from_saved(config_class, saved["config"], str(run.config_file))


def nothing_left(run: RunFolder) -> bool:
    """Return whether every stage is done; say so then."""
    if finished_result(run) is None:
        return False
    say_nothing_left(run, "every stage is done", f"its ledger is {run.shown(run.path / LEDGER)}")
    return True


def load_latest(pipeline: Pipeline) -> None:
    """Load the last checkpoint of a compression into a new pipeline of the same recipe. Raises: CheckpointError."""
    from rl_gen_lab.runs.checkpoints import load_state  # here, so that reading flags needs no torch

    run = pipeline.run_folder
    state = load_state(run.checkpoints / "latest")
    with fitting_checkpoint(run):
        refuse_lost_files(run, pipeline.recipe.names, state["rows"])
        pipeline.load_state_dict(state)


def refuse_lost_files(run: RunFolder, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to go on where the file of a stage is not of the size in its row. names: of the stages.

    Raises: CheckpointError.
    """
    for row in rows:
        if stage := row["stage"]:
            file = run.path / f"stage{stage}_{names[stage - 1]}.rlz"
            if not file.is_file():
                raise CheckpointError(f"{run.shown(file)} is missing, which its row in the ledger is about")
            if (size := file.stat().st_size) != row["bytes"]:
                raise CheckpointError(
                    f"{run.shown(file)} has {size:,} bytes, its row in the ledger says {row['bytes']:,}"
                )


def refuse_changed(run: RunFolder, inputs: Mapping[str, str]) -> None:
    """Refuse to go on with other inputs than those of the first start. inputs: digests by name.

    Raises: CheckpointError.
    """
    about = run.read_config()
    began = about.get(INPUTS, {})
    if INPUTS in about and not began and inputs:
        raise CheckpointError(
            f"{run.shown(run.config_file)} is damaged: it names nothing that the compression began with"
        )
    for name, digest in inputs.items():
        if began.get(name, digest) != digest:
            raise CheckpointError(f"{name} changed since {run} began: start a new compression")
