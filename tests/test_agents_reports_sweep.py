"""Rows, tables and sentences of a study."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from sweep_studies import study_record

from agents.reports.store import upsert
from agents.reports.sweep import KEY, columns, rows_of, sentence, table


def test_a_study_in_a_sentence() -> None:
    assert sentence(study_record()) == (
        "9 trials (5 complete, 3 pruned, 1 failed), 2,600 steps in 1 min of runs; best -2 by trial 8"
    )
    assert sentence(study_record(0)) == "0 trials (0 complete, 0 pruned, 0 failed), 0 steps in 0 min of runs"


def test_the_table_has_the_best_first_and_the_failed_last() -> None:
    study = study_record()
    rows = table(study)
    assert columns(study)[:5] == ["trial", "state", "score", "by seed", "learning_rate"]
    assert [row[0] for row in rows] == ["8", "6", "3", "2", "0", "7", "4", "1", "5"]
    assert rows[0][1:5] == ["complete", "-2", "-3 -1", "0.01"] and rows[-1][-1] == "the disk is <on fire>"
    assert all(len(row) == len(columns(study)) for row in rows)


def test_the_rows_of_a_study_replace_those_of_the_same_study(tmp_path: Path) -> None:
    file = tmp_path / "sweeps.csv"
    for study in (study_record(4), study_record()):
        upsert(file, rows_of(study), key=KEY, sort=("study",))
    with file.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["trial"] for row in rows] == [str(number) for number in range(9)]
    assert json.loads(rows[0]["settings"])["net_arch"] == "[64]" and rows[0]["seeds"] == "101 102"
    assert float(rows[8]["score"]) == -2.0 and rows[5]["score"] == "" and rows[0]["commit"]
