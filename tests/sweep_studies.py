"""A study of hyper-parameters as its record, for tests of figures, pages and ledgers."""

from __future__ import annotations

import math

from agents.reports.sweep import StudyRecord, TrialRecord


def study_record(trials: int = 9) -> StudyRecord:
    """Every third trial pruned, the fifth failed; the score rises with the learning rate."""
    made = []
    for number in range(trials):
        rate, units = 10 ** (-4 + 0.25 * number), ["[64]", "[256, 256]"][number % 2]
        settings = {"learning_rate": rate, "n_step": 1 + number % 4, "net_arch": units, "double": number % 2 == 0}
        score = math.log10(rate)
        curve = {100: score - 2, 200: score - 1}
        if number == 5:
            made.append(TrialRecord(number, "failed", None, settings, error="the disk is <on fire>"))
        elif number % 3 == 1:
            made.append(
                TrialRecord(number, "pruned", score - 2, settings, curve={100: score - 2}, steps=200, seconds=6)
            )
        else:
            made.append(TrialRecord(number, "complete", score, settings, [score - 1, score + 1], curve, 400, 12))
    return StudyRecord(
        "study",
        "python -m agents.dqn --env CartPole",
        ["learning_rate", "n_step", "net_arch", "double"],
        frozenset({"learning_rate"}),
        made,
        {"learning_rate": 0.7, "n_step": 0.3},
        (101, 102),
    )
