"""Provenance of a run: machine, versions, commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.wording import count

DISTRIBUTIONS = ("torch", "numpy", "gymnasium", "ale-py", "wandb", "stable-baselines3", "tyro", "safetensors")


def of_run(module: str) -> dict[str, Any]:
    """Return the provenance in a run's config.json; module: the command, as in `python -m MODULE`."""
    return {
        "versions": versions(),
        "hardware": hardware(),
        "commit": git_commit(),
        "command": [f"python -m {module}", *sys.argv[1:]],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def hardware() -> dict[str, str | int | float]:
    """Describe this machine: cpu (its name), cores (usable here), memory_gb (all), gpu ("" for none), system."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        "memory_gb": round(pages / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe_hardware(hardware: dict[str, Any]) -> str:
    """`{"cpu": "X", "cores": 2, "memory_gb": 7.6, "gpu": None}` -> "X, 2 cores, 8 GB, no GPU"."""
    parts = [str(hardware.get("cpu") or hardware.get("cpu_model") or "unknown CPU")]
    if hardware.get("cores"):
        parts.append(count(int(hardware["cores"]), "core"))
    if hardware.get("memory_gb"):
        parts.append(f"{float(hardware['memory_gb']):.0f} GB")
    parts.append(str(hardware.get("gpu") or "no GPU"))
    return ", ".join(parts)


def versions() -> dict[str, str]:
    """Give the versions of Python and of the installed libraries that numbers depend on; import none of them."""
    installed = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def git_commit() -> str:
    """Give the commit of this checkout, with "-dirty" when tracked files differ; "unknown" outside one."""
    checkout = Path(__file__).resolve().parents[2]
    # An installed copy may lie inside somebody else's repository, whose commit says nothing about this code.
    if not (checkout / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
