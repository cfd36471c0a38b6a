"""The committed digits as a dataset, split as `package:digits` is, and a package that ships them."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
from classic_numbers import numbers

from rl_gen_lab.data import dataset, shipped
from rl_gen_lab.data.dataset import Dataset

DIGITS = Path("package:digits")


def ship_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the committed digits stand for scikit-learn's, which tests do without."""
    package = types.SimpleNamespace(
        load_digits=lambda: types.SimpleNamespace(images=numbers()["digits"].astype(float), target=numbers()["classes"])
    )
    monkeypatch.setattr(shipped, "import_module", lambda name: package)


def digits(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    ship_digits(monkeypatch)
    return dataset.load(DIGITS)
