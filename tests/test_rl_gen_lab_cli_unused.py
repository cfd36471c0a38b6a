"""Refusal of settings that the chosen model does not have."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.unused import refuse_unused


@dataclass(frozen=True)
class Inner:
    steps: int = 1
    units: int = 4


@dataclass(frozen=True)
class Settings:
    USED_BY: ClassVar = {"depth": ("deep", "deeper"), "sizes": ("wide",), "inner.steps": ("wide",)}
    model: str = "deep"
    depth: int = 2
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    shared: float = 0.5
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    "change", [{}, {"depth": 3}, {"shared": 0.1}, {"model": "wide", "sizes": [3]}, {"sizes": [1, 2]}]
)
def test_settings_of_the_model_and_defaults_are_taken(change: dict[str, object]) -> None:
    refuse_unused(replace(Settings(), **change), "net")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inner": Inner(steps=3)}, "net.inner.steps is a setting of wide, not of deep"),
        ({"sizes": [3]}, "net.sizes is a setting of wide, not of deep"),
        ({"model": "wide", "depth": 3}, "net.depth is a setting of deep and deeper, not of wide"),
    ],
)
def test_a_changed_setting_of_another_model_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse_unused(replace(Settings(), **change), "net")


def test_a_config_without_models_needs_no_table() -> None:
    @dataclass(frozen=True)
    class Plain:
        width: int = 2

    refuse_unused(Plain(width=9), "net")
