"""Settings that agents share: what cannot work is refused by name."""

from __future__ import annotations

import math

import pytest

from agents.training.config import EvalConfig, PolicyConfig, RunConfig, TransferConfig
from rl_gen_lab.cli.errors import ConfigError


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_a_spread_that_is_no_number_is_refused_before_the_world_is_blamed(start: float) -> None:
    with pytest.raises(ConfigError, match="log_std_start"):
        PolicyConfig(log_std_start=start)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EvalConfig(episodes=0), "episodes"),
        (lambda: EvalConfig(epsilon=math.nan), "epsilon"),
        (lambda: RunConfig(total_minutes=math.nan), "total_minutes"),
        (lambda: RunConfig(stop_at_return=math.nan), "stop_at_return"),
        (lambda: RunConfig(log_every_env_steps=0), "log_every_env_steps"),
        (lambda: PolicyConfig(noise_hold_steps=0), "noise_hold_steps"),
        (lambda: TransferConfig(init_frozen="all"), "--init-backbone"),
    ],
)
def test_settings_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]
