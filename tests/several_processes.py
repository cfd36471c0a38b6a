"""Scripts in several processes on this machine, by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def torchrun(*words: str, seconds: float = 240, processes: int = 2) -> str:
    """Run a script of this folder in several processes to its end; return what they print. Fails with it otherwise."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(processes), *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def pid_of_rank(launcher: int, rank: int) -> int:
    """Return the process id of a rank, a child of torchrun's process `launcher`. Fails where there is none."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            mine = f"RANK={rank}".encode() in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == launcher and mine:
            return int(folder.name)
    pytest.fail("no such process")
