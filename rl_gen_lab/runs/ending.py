"""Result and cleanup of an unfinished run; error for an incompatible checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError, ConfigError, DivergedError, SaveError, UserError
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import first_line, printable

Say = Callable[[str], None]


def keep_result(run: RunFolder, result: dict[str, Any], say: Say) -> None:
    """Write the result of a run that did not finish; a full disk is reported and hides no other error."""
    try:
        run.write_result(result)
    except SaveError as error:
        say(f"the result is not on disk: {error}")


def finished_result(run: RunFolder) -> dict[str, Any] | None:
    """Return the content of result.json of a run that has ended; None while it can go on."""
    try:
        result = run.read_result()
    except CheckpointError:  # none yet, or damaged
        return None
    return result if result.get("status") == "finished" else None


def say_nothing_left(run: RunFolder, reason: str, way_on: str) -> None:
    """Answer a request to resume a run that has ended; nothing in its folder changes. reason: why it has ended."""
    print(f"{reason}: there is nothing left to train in {run}; {way_on}", flush=True)


def failure(error: BaseException) -> dict[str, str]:
    """Return the fields of result.json for a run that an error ended."""
    return {"status": "failed", "error": f"{type(error).__name__}: {error}"}


def can_resume(run: RunFolder, error: BaseException | None) -> bool:
    """Return whether to offer to resume: there is a checkpoint, and the run did not diverge.

    A resumed run is the same run: one that diverged would diverge again.
    """
    return (run.checkpoints / "latest").is_dir() and not isinstance(error, DivergedError)


@contextmanager
def removed_if_refused(run: RunFolder, *, new: bool) -> Iterator[None]:
    """Remove the folder of a new run whose settings are refused before it has begun."""
    try:
        yield
    except ConfigError:
        if new:
            shutil.rmtree(run.path, ignore_errors=True)
        raise


@contextmanager
def fitting_checkpoint(run: RunFolder) -> Iterator[None]:
    """Turn whatever torch, numpy and dictionaries raise for a state that does not fit into a CheckpointError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        latest = run.shown(run.checkpoints / "latest")
        raise CheckpointError(
            f"{latest} does not fit this program and {run.shown(run.config_file)}: {printable(first_line(error))}"
        ) from error
