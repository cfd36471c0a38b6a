"""Settings of an environment: impossible ones are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from envs.config import EnvConfig


@pytest.mark.parametrize(
    "wrong",
    [{"sticky": 1.0}, {"sticky": -0.1}, {"frame_skip": 0}, {"image_size": 0}, {"frame_stack": 0}, {"noop_max": -1}],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"world\.{next(iter(wrong))} must"):
        EnvConfig(**wrong)


def test_observations_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(
        ValueError, match="pixels, objects, detector:RUN, segment:RUN, vae:RUN, dream:RUN, not 'detector'"
    ):
        EnvConfig(observe="detector")
    with pytest.raises(ValueError, match="not 'ears:runs'"):
        EnvConfig(observe="ears:runs")
