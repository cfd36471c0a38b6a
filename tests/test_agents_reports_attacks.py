"""Rows of attacks as tables: the worst of all beside each, and files that record something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.reports import attacks
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, write_csv
from rl_gen_lab.runs.folder import RunFolder


def row(attack: str, levels: str, measures: str, **other: str) -> dict[str, str]:
    values = {"what": "Pong", "agent": "dqn", "attack": attack, "levels": levels, "games": "20", "frames": "200"}
    values |= {"pixels": "all frames", "when": "every step", "run": f"one/{attack}_{levels}", "commit": "0123456789"}
    return {name: (values | {"measures": measures} | other).get(name, "") for name in attacks.COLUMNS}


def scored(score: float) -> str:
    return f"score={score} score_low={score - 1} score_high={score + 1} flipped=0.25 cost=0.1 certified=0.905"


ROWS = [
    row("none", "0", "score=16 score_low=15 score_high=17"),
    row("random", "1", scored(14)),
    row("pgd", "1", scored(-20)),
    row("fgsm", "1", scored(-17)),
]


def test_the_worst_of_all_attacks_stands_under_each_budget(tmp_path: Path) -> None:
    write_csv(tmp_path / "attacks.csv", attacks.COLUMNS, ROWS)
    text = attacks.section(tmp_path / "attacks.csv", Path("docs"))
    assert "**Pong**: dqn, all frames, every step, 20 games a row, 200 frames" in text
    assert "| pgd | 1 | -20.00 | -21.0 to -19.0 | - | - | 25% | 10% | 90.5% | - |" in text
    assert text.count("worst of all") == 1 and "| worst of all: pgd | 1 | -20.00 | -21.0 to -19.0 |" in text


def test_frames_alone_have_no_worst_score() -> None:
    lines = attacks.cells([row("pgd", "1", "flipped=1"), row("fgsm", "1", "flipped=0.5")])
    assert [line[0] for line in lines] == ["pgd", "fgsm"] and lines[0][2] == "-"


def test_least_budgets_are_a_sentence() -> None:
    found = {"frames": 9} | {f"pgd-starts/{share}": 1.0 for share in (0.1, 0.5, 0.9)}
    found |= {"random/0.1": 2.0, "random/0.5": 7.0, "random/0.9": float("inf")}
    text = attacks.minimum_in_words({"minimum": found})
    assert "9 frames: PGD of three starts 1, 1, 1; random signs 2, 7, more than 64." in text


def test_other_files_and_unfinished_runs_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("x",), [{"x": "1"}])
    with pytest.raises(ResultsError, match="does not record attacks"):
        attacks.section(tmp_path / "a.csv", tmp_path)
    assert "Not recorded yet" in attacks.section(tmp_path / "none.csv", tmp_path)
    run = RunFolder.create(tmp_path, "attack", "Pong", 0)
    run.write_config({"env_id": "ALE/Pong-v5"})
    with pytest.raises(RunDataError, match="holds no attacks"):
        attacks.rows_of(run, "")
