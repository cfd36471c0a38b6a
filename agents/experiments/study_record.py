"""A shared study as plain records, for figures, tables and the ledger; importance of the settings."""

from __future__ import annotations

import shlex
import warnings
from typing import TYPE_CHECKING

from agents.experiments.study import ERROR, MADE, PLACE, SCORES, SharedStudy
from agents.reports.sweep import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
LEAST_FOR_IMPORTANCE = 6  # complete trials


def record_of(shared: SharedStudy) -> StudyRecord:
    """Return a study as far as it has got."""
    sweep = shared.sweep
    trials = sorted((_trial(shared, trial) for trial in shared.finished()), key=lambda trial: trial.number)
    return StudyRecord(
        name=shared.study.study_name,
        command=shlex.join(["python", "-m", *sweep.plan.words]),
        settings=[d.name for d in sweep.space.dimensions],
        logarithmic=frozenset(d.name for d in sweep.space.dimensions if d.log),
        trials=trials,
        importance=_importance(shared),
        seeds=sweep.plan.seeds,
        unit="epochs" if sweep.plan.is_vision else "steps",
    )


def _trial(shared: SharedStudy, trial: FrozenTrial) -> TrialRecord:
    attributes = trial.user_attrs
    dimensions = {d.name: d for d in shared.sweep.space.dimensions}
    return TrialRecord(
        number=attributes[PLACE],
        state=STATES[trial.state.name],
        score=trial.value,
        settings={name: dimensions[name].value(value) for name, value in trial.params.items() if name in dimensions},
        scores=attributes.get(SCORES, ()),
        curve=dict(trial.intermediate_values),
        steps=float(attributes.get("steps", 0.0)),
        seconds=float(attributes.get("seconds", 0.0)),
        error=str(attributes.get(ERROR, "")),
        made=attributes.get(MADE, {}),
    )


def _importance(shared: SharedStudy) -> dict[str, float]:
    """Return the importance of each setting; {} where too few trials are complete to say.

    Source: Watanabe, Bansal and Hutter 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces".
    """
    import optuna

    complete = [trial for trial in shared.trials("COMPLETE") if trial.value is not None]
    if len(complete) < LEAST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():  # numpy's, for a setting that has one value among the better trials
        warnings.simplefilter("ignore", RuntimeWarning)
        found = optuna.importance.get_param_importances(shared.study, evaluator=evaluator)
    return {name: float(value) for name, value in found.items() if value == value}
