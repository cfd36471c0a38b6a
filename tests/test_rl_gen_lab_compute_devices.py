"""Devices: clear refusals, and the memory of this process."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.compute.devices import peak_memory_mb, setup
from rl_gen_lab.runs.provenance import hardware


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
        ("cpu:3", "only one: use --device cpu"),
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


def test_peak_memory_is_in_mebibytes_and_no_less_than_what_is_used() -> None:
    block = np.ones(2**26, np.uint8)  # 64 MiB
    assert 64 < peak_memory_mb() < float(hardware()["memory_gb"]) * 1000
    status = Path("/proc/self/statm")
    if status.exists():
        now_mb = int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        assert peak_memory_mb() >= now_mb - 1
    assert block[-1] == 1
