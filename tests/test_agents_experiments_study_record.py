"""The record of a study: its finished trials in order, and which settings matter."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_command import shared_study

from agents.experiments.study import PLACE
from agents.experiments.study_record import record_of

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(60)


def test_trials_are_in_the_order_of_their_places_with_what_they_cost(tmp_path: Path) -> None:
    shared = shared_study(tmp_path)
    taken = [shared.claim() for _ in range(4)]
    for trial in reversed(taken):
        assert trial is not None
        shared.sweep.space.suggest(trial)
        place = trial.user_attrs[PLACE]
        if place == 3:
            trial.report(1.0, 100)
            trial.report(2.5, 200)
            shared.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        trial.set_user_attr("steps", 100.0 * place)
        trial.set_user_attr("scores", [1.0, 3.0])
        shared.study.tell(trial, float(place))
    record = record_of(shared)
    assert [(t.number, t.state, t.score) for t in record.trials] == [
        (0, "complete", 0.0),
        (1, "complete", 1.0),
        (2, "complete", 2.0),
        (3, "pruned", 2.5),
    ]
    assert record.trials[3].curve == {100: 1.0, 200: 2.5} and record.trials[2].steps == 200
    assert record.best is record.trials[2] and record.settings == ["learning_rate", "gamma"]
    assert record.logarithmic == {"learning_rate"} and record.importance == {} and record.unit == "steps"
    assert record.command.startswith("python -m agents.reinforce --env CartPole")


def test_the_setting_that_decides_the_score_is_the_important_one(tmp_path: Path) -> None:
    head = 'sampler = "random"\ntrials = 40\ntry_start = false'
    search = "learning_rate = { low = 1e-4, high = 1e-1, log = true }\ngamma = { low = 0.0, high = 1.0 }"
    shared = shared_study(tmp_path, head=head, search=search)
    while (trial := shared.claim()) is not None:
        values = shared.sweep.space.suggest(trial)
        shared.study.tell(trial, -abs(values["gamma"] - 0.7))
    importance = record_of(shared).importance
    assert importance["gamma"] > 3 * importance["learning_rate"] and sum(importance.values()) == pytest.approx(1)
