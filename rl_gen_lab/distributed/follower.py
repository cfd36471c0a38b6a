"""The processes beside the first: they train along, but write nothing where a user looks, and print nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.lock import FILE, FolderLock

PREFIX = "rl_gen_lab-rank-"  # of folders beside other temporary ones


@contextlib.contextmanager
def silent(ranks: Ranks) -> Iterator[None]:
    """Drop what a process other than the first prints; errors go to stderr as ever."""
    if ranks.leads:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def remove_left_folders(prefix: str) -> None:
    """Remove temporary folders of such names whose process is dead, which their locks tell."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        lock = folder / FILE
        try:  # a lock without content is just being taken
            if folder.is_symlink() or not lock.stat().st_size:
                continue
            with FolderLock(folder, str(folder)):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, UserError):  # of another user, or in use
            continue


@contextlib.contextmanager
def scratch_folder(algo: str, env: str, seed: int, resumed: RunFolder | None) -> Iterator[RunFolder]:
    """Make a run folder that is removed at the end, with the configuration and best weights of the resumed one.

    What processes left that were killed is removed as well. Raises: SaveError.
    """
    remove_left_folders(PREFIX)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as root, FolderLock(Path(root), root):
        run = RunFolder.create(Path(root), algo, env, seed)
        if resumed is not None:
            shutil.copy(resumed.config_file, run.config_file)
            for file in resumed.checkpoints.glob("best.*"):
                shutil.copy(file, run.checkpoints / file.name)
        yield run
