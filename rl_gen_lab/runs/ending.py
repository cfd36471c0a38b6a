"""The end of a run that did not finish, and the refusal of a checkpoint that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError, DivergedError, SaveError
from rl_gen_lab.runs.folder import RunFolder

Say = Callable[[str], None]


def keep_result(run: RunFolder, result: dict[str, Any], say: Say) -> None:
    """Write the result of a run that did not finish; a full disk is reported and hides no other error."""
    try:
        run.write_result(result)
    except SaveError as error:
        say(f"the result is not on disk: {error}")


def failure(error: BaseException) -> dict[str, str]:
    """Return the fields of result.json for a run that an error ended."""
    return {"status": "failed", "error": f"{type(error).__name__}: {error}"}


def can_resume(run: RunFolder, error: BaseException | None) -> bool:
    """Return whether to offer to resume: there is a checkpoint, and the run did not diverge.

    A resumed run is the same run: one that diverged would diverge again.
    """
    return (run.checkpoints / "latest").is_dir() and not isinstance(error, DivergedError)


@contextmanager
def fitting_checkpoint(run: RunFolder) -> Iterator[None]:
    """Turn what torch and dictionaries raise for a state that does not fit into a CheckpointError."""
    try:
        yield
    except (KeyError, ValueError, RuntimeError) as error:
        latest: Path = run.checkpoints / "latest"
        raise CheckpointError(f"{latest} does not fit this program and {run.config_file}: {error}") from error
