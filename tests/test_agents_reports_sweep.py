"""Rows, tables and sentences of a study."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

from sweep_studies import study_record

from agents.reports.store import upsert
from agents.reports.sweep import KEY, columns, rows_of, section, sentence, table


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


def test_a_row_says_where_its_trial_was_made(tmp_path: Path) -> None:
    study = study_record(3)
    made = replace(study.trials[2], made={"commit": "abc", "hardware": "elsewhere"})
    rows = rows_of(replace(study, trials=[*study.trials[:2], made]))
    assert rows[2]["commit"] == "abc" and rows[2]["hardware"] == "elsewhere" and rows[0]["commit"] != "abc"


def test_the_section_has_a_row_for_each_study_with_its_first_and_best_score(tmp_path: Path) -> None:
    file = tmp_path / "sweeps.csv"
    for study in (study_record(), replace(study_record(2), name="another", trials=[study_record().trials[5]])):
        upsert(file, rows_of(study), key=KEY, sort=("study",))
    lines = section(file).splitlines()
    assert len(lines) == 4 and "| another | 0 / 0 / 1 | 0 |" in lines[2]
    assert "| study | 5 / 3 / 1 | 1 | -4 (trial 0) | -2 (trial 8) | learning_rate 0.01, n_step 1" in lines[3]
