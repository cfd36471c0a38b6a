"""Provenance: facts about the machine, the versions and the commit that results need."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.provenance import describe_hardware, git_commit, hardware, versions


def test_hardware_and_versions_describe_this_machine() -> None:
    machine = hardware()
    assert machine["cpu"] and int(machine["cores"]) >= 1 and float(machine["memory_gb"]) > 0.1
    assert versions()["torch"] == torch.__version__ and versions()["numpy"] == np.__version__
    assert "python" in versions()


def test_hardware_is_one_line() -> None:
    assert describe_hardware({"cpu": "X", "cores": 2, "memory_gb": 7.6, "gpu": ""}) == "X, 2 cores, 8 GB, no GPU"
    assert describe_hardware({}) == "unknown CPU, no GPU"


def test_commit_names_the_checkout_and_says_when_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "rl_gen_lab" / "runs" / "provenance.py"))
    assert git_commit() == "unknown"

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    assert git_commit() == "unknown"
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("-c", "core.hooksPath=/dev/null", "commit", "--quiet", "-m", "one")
    git("tag", "v1")
    assert git_commit() == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert git_commit() == git("rev-parse", "HEAD") + "-dirty"


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_commit() == "unknown"
