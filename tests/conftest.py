"""What every test gets: no account, no network, nothing written outside its own folder, one thread."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
from hypothesis import settings
from long_tests import is_long

from rl_gen_lab.tracking import wandb_init

settings.register_profile("shared machine", deadline=None)  # a busy core is no fault of an example
settings.load_profile("shared machine")


def keep_comments_of_settings() -> None:
    """Let tyro read the comments of a class of settings once: it forgets them at each of thousands of command lines."""
    docstrings, forgotten = tyro._docstrings, tyro._unsafe_cache._cache_list
    readers = (docstrings._ClassTokenization.make, docstrings.get_field_docstring)
    kept = [cell.cell_contents for reader in readers for cell in reader.__closure__ or ()]
    forgotten[:] = [cache for cache in forgotten if all(cache is not other for other in kept)]


keep_comments_of_settings()


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home: Path = tmp_path_factory.mktemp("wandb")
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow; no test cuts the power
    torch.set_num_threads(1)


@pytest.fixture
def without_machine_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what W&B measures about the machine: it only costs time here."""
    real = wandb_init.settings

    def fast(library: Any) -> Any:
        settings = real(library)
        settings.x_disable_stats = settings.x_disable_meta = settings.x_disable_machine_info = True
        return settings

    monkeypatch.setattr("rl_gen_lab.tracking.wandb_session.settings", fast)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of long_tests.py as `long`."""
    for item in items:
        if is_long(item.nodeid):
            item.add_marker(pytest.mark.long)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `gpu` where there is none."""
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
