"""Settings of detection that are refused."""

from __future__ import annotations

import pytest

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.vision.detection.config import DetectConfig


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="low_iou"):
        DetectConfig(low_iou=0.6, high_iou=0.5)


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"proposals": 0}, {"proposals": 2_001}, {"most": 2_001}, {"crop": 2}, {"cells": 0}):
        with pytest.raises(ConfigError):
            DetectConfig(**wrong)  # type: ignore[arg-type]
