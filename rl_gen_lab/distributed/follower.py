"""The processes beside the first: they train along, but write nothing where a user looks, and print nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.runs.folder import RunFolder


@contextlib.contextmanager
def silent(ranks: Ranks) -> Iterator[None]:
    """Drop what a process other than the first prints; errors go to stderr as ever."""
    if ranks.leads:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def scratch_folder(algo: str, env: str, seed: int, resumed: RunFolder | None) -> Iterator[RunFolder]:
    """Make a run folder that is removed at the end, with the configuration and best weights of the resumed one."""
    with tempfile.TemporaryDirectory(prefix="rl_gen_lab-rank-") as root:
        run = RunFolder.create(Path(root), algo, env, seed)
        if resumed is not None:
            shutil.copy(resumed.config_file, run.config_file)
            for file in resumed.checkpoints.glob("best.*"):
                shutil.copy(file, run.checkpoints / file.name)
        yield run
