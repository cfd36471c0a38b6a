"""Which observations are codes of frames."""

from __future__ import annotations

import pytest

from envs.config import EnvConfig
from envs.observers import observes_codes


@pytest.mark.parametrize(
    ("observe", "codes"),
    [("pixels", False), ("objects", False), ("detector:runs/vae", False), ("vae:runs/x", True), ("dream:runs/x", True)],
)
def test_codes_are_told_by_the_kind_alone(observe: str, codes: bool) -> None:
    assert observes_codes(EnvConfig(observe=observe)) is codes


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vae:RUN, dream:RUN"):
        EnvConfig(observe="dreams:runs/x")
