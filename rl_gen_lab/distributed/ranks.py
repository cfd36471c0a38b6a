"""The place of this process among those that `torchrun` started, read from its environment; needs no torch.

Source: https://docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.folder import RunFolder


@dataclass(frozen=True)
class Ranks:
    """rank: number of this process, from 0 to below size; local_rank: its number on this machine.

    launch: the name that torchrun gave to this start of all processes; restarts: how often it has restarted them;
    helpers: processes of the start that are not counted, for they do not train.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    restarts: int = 0
    launch: str = ""
    helpers: int = 0

    @property
    def leads(self) -> bool:
        """Return whether this process writes the run folder and prints."""
        return self.rank == 0

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Ranks:
        """Read the variables that torchrun sets; one process where they are missing. Raises: ConfigError."""
        if "WORLD_SIZE" not in environment or "RANK" not in environment:
            return cls()
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT")
        try:
            rank, size, local, restarts = (int(environment.get(name, "0")) for name in names)
        except ValueError:
            found = ", ".join(f"{name}={environment.get(name)}" for name in names)
            raise ConfigError(f"{found}: not all are whole numbers; start with torchrun, which sets them") from None
        if not 0 <= rank < size:
            raise ConfigError(f"RANK={rank} does not lie from 0 to below WORLD_SIZE={size}; torchrun sets both")
        if size > 1 and not {"MASTER_ADDR", "MASTER_PORT"} <= environment.keys():
            raise ConfigError("WORLD_SIZE is set, but MASTER_ADDR and MASTER_PORT are not; torchrun sets all of them")
        return cls(rank, size, local, restarts, environment.get("TORCHELASTIC_RUN_ID", ""))

    def alone(self) -> Ranks:
        """Return the first process as one that trains alone; the others are its helpers."""
        return replace(self, size=1, helpers=self.size - 1)

    def started_by(self) -> tuple[str, ...]:
        """Return the first words of a command that starts as many processes on this machine; none for one."""
        return ("torchrun", "--standalone", "--nproc-per-node", str(self.size)) if self.size > 1 else ()

    def described(self) -> dict[str, object]:
        """Return what config.json says of several processes; nothing for one without helpers."""
        return {"ranks": {"size": self.size, "launch": self.launch}} if self.size + self.helpers > 1 else {}


def after_restart(argv: Sequence[str], ranks: Ranks, runs_dir: Path) -> list[str]:
    """Return the words of a command line; once torchrun has restarted its processes, those that resume their run.

    Raises: ConfigError where the launch has no name of its own, by which its run could be told from others.
    """
    if not ranks.restarts or ranks.size == 1 or any(word.startswith("--resume") for word in argv):
        return list(argv)
    if ranks.launch in ("", "none"):
        raise ConfigError("restarted, but which run to resume is not known: start torchrun with --standalone")
    folder = _run_of(ranks.launch, runs_dir)
    return list(argv) if folder is None else ["--resume", str(folder)]


def _run_of(launch: str, runs_dir: Path) -> Path | None:
    """Return the newest run folder whose config.json names the launch; None before it has a checkpoint."""
    if not runs_dir.is_dir():
        return None
    found = []
    for folder in runs_dir.iterdir():
        try:
            run = RunFolder.open(folder)
            said = run.read_config().get("ranks")
        except CheckpointError:
            continue
        if isinstance(said, dict) and said.get("launch") == launch and (run.checkpoints / "latest").is_dir():
            found.append((run.config_file.stat().st_mtime, folder))
    return max(found)[1] if found else None


def share_of(count: int, ranks: Ranks, what: str) -> int:
    """Return the equal share of each process. Raises: ConfigError where there is none, naming the nearest counts."""
    if count % ranks.size:
        below = count // ranks.size * ranks.size
        near = f"{below} or {below + ranks.size}" if below else str(ranks.size)
        raise ConfigError(f"{what} {count} cannot be dealt equally to {ranks.size} processes: use {near}")
    return count // ranks.size
