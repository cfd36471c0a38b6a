"""The sweep that confirms another compares its best settings again, exactly those, with seeds that it did not use."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_command import write_sweep

from agents.experiments.confirm_file import write_confirmation
from agents.experiments.study import first_settings
from agents.experiments.sweep_plan import read_sweep
from agents.reports.sweep import TrialRecord

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(60)
COMMAND = "python -m agents.dqn --env Acrobot --total-env-steps 400 --eval.every-env-steps 100"
SEARCH = """learning_rate = { low = 1e-4, high = 1e-2, log = true }
n_step = { low = 1, high = 9, step = 2 }
n_step_end = { choices = ["none", 1] }
backbone = { choices = ["mlp", "mlp_small"] }
"replay.capacity" = { low = 10_000, high = 50_000 }"""


def test_the_best_and_the_first_are_compared_again_with_other_seeds(tmp_path: Path) -> None:
    sweep = read_sweep(
        write_sweep(tmp_path, command=COMMAND, search=SEARCH, head="seeds = [101, 102]\nquantile = 0.25")
    )
    trials = [
        TrialRecord(
            number,
            "complete",
            score,
            {
                "learning_rate": 0.001 + number / 10_000,
                "n_step": 1 + 2 * number,
                "n_step_end": None if number % 2 else 1,
                "backbone": "mlp",
                "replay.capacity": 20_000 + number,
            },
        )
        for number, score in enumerate([1.0, 5.0, 3.0, 4.0])
    ]
    file = tmp_path / "confirm.toml"
    assert write_confirmation(file, sweep, trials) == [1, 3, 2, 0]
    again = read_sweep(file)
    assert first_settings(again) == [dict(trials[number].settings) for number in (1, 3, 2, 0)]
    assert again.plan.seeds == (202, 203, 204, 205, 206) and again.plan.pruner.kind == "none"
    assert again.space == sweep.space and again.plan.quantile == 0.25 and again.plan.words == sweep.plan.words
    assert write_confirmation(file, sweep, trials[:1]) == [0] and len(first_settings(read_sweep(file))) == 1
