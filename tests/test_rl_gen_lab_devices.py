"""Devices: clear refusals, and facts about the machine that results need."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute import devices
from rl_gen_lab.compute.devices import (
    DeviceConfig,
    git_commit,
    hardware,
    multiplies_bfloat16,
    peak_memory_mb,
    setup,
    versions,
)


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert setup(DeviceConfig()) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert setup(DeviceConfig()) == torch.device("cuda")
    assert setup(DeviceConfig(device="cpu")) == torch.device("cpu")


def test_setup_sets_the_threads() -> None:
    setup(DeviceConfig(device="cpu", threads=2))
    assert torch.get_num_threads() == 2
    setup(DeviceConfig(device="cpu"))
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "sees no CUDA GPU: use --device cpu"),
        ("cuda:1", "sees no CUDA GPU"),
        ("gpu", "unknown device 'gpu'"),
        ("meta", "not supported"),
        ("", "unknown device ''"),
    ],
)
def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch, device: str, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        setup(DeviceConfig(device=device))


def test_a_gpu_number_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert setup(DeviceConfig(device="cuda:0")) == torch.device("cuda:0")
    with pytest.raises(ConfigError, match="only 1 GPU"):
        setup(DeviceConfig(device="cuda:1"))


@pytest.mark.parametrize(
    ("device", "cpu", "cuda", "expected"),
    [
        ("cpu", True, None, True),
        ("cpu", False, True, False),
        ("auto", False, None, False),
        ("auto", False, True, True),
        ("cuda", True, False, False),
        ("mps", True, True, False),
    ],
)
def test_automatic_precision_is_what_the_processor_is_made_for(
    monkeypatch: pytest.MonkeyPatch, device: str, cpu: bool, cuda: bool | None, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: cuda)
    multiplies_bfloat16.cache_clear()
    assert DeviceConfig(device=device, precision="auto").bfloat16 == expected
    multiplies_bfloat16.cache_clear()
    assert not DeviceConfig(device=device).bfloat16 and DeviceConfig(device=device, precision="bfloat16").bfloat16


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"device\.threads must be 1 or more, not 0"):
        DeviceConfig(threads=0)


def test_hardware_and_versions_describe_this_machine() -> None:
    machine = hardware()
    assert machine["cpu"] and int(machine["cores"]) >= 1 and float(machine["memory_gb"]) > 0.1
    assert versions()["torch"] == torch.__version__ and versions()["numpy"] == np.__version__
    assert "python" in versions()


def test_peak_memory_is_in_mebibytes_and_no_less_than_what_is_used() -> None:
    block = np.ones(2**26, np.uint8)  # 64 MiB
    assert 64 < peak_memory_mb() < float(hardware()["memory_gb"]) * 1000
    status = Path("/proc/self/statm")
    if status.exists():
        now_mb = int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        assert peak_memory_mb() >= now_mb - 1
    assert block[-1] == 1


def test_commit_names_the_checkout_and_says_when_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "__file__", str(tmp_path / "rl_gen_lab" / "compute" / "devices.py"))
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
