"""A comparison ranks agents by their scores and says what weakens the ranking."""

from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import make_run

from agents.reports.comparison import compare_runs
from agents.reports.run_record import load_run


def test_better_agent_is_ranked_first_with_a_gap_that_excludes_zero(tmp_path: Path) -> None:
    ours = [make_run(tmp_path, "dqn", seed, solved_at=80_000) for seed in (1, 2, 3)]
    theirs = [make_run(tmp_path, "sb3_dqn", seed, solved_at=900_000) for seed in (1, 2, 3)]
    made = compare_runs([load_run(path) for path in [*theirs, *ours]])
    assert [group.label for group in made.groups] == ["dqn", "sb3_dqn"]
    [(better, worse, gap)] = made.differences
    assert (better, worse) == ("dqn", "sb3_dqn")
    assert gap.low > 30
    assert made.groups[0].score is not None and made.groups[0].score.runs == 3
    assert all(crossing is not None for crossing in made.groups[0].crossings[18])
    assert made.groups[1].crossings[18] == [None, None, None]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"status": "interrupted"}, "is not finished"),
        ({"status": None}, "no final evaluation"),
        ({"minutes": 40.0}, "different wall-clock time: 20.0 to 40.0"),
        ({"eval_episodes": 10}, "different rules: episodes 10 vs 20"),
        ({"seed": 1}, "repeat"),
    ],
)
def test_what_weakens_a_comparison_is_said(tmp_path: Path, changes: dict[str, Any], note: str) -> None:
    runs = [make_run(tmp_path, seed=1), make_run(tmp_path, **{"seed": 2} | changes)]
    assert any(note in caveat for caveat in compare_runs([load_run(path) for path in runs]).caveats)


def test_equal_runs_of_two_seeds_need_no_caveat(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=seed) for seed in (1, 2)]
    assert compare_runs([load_run(path) for path in runs]).caveats == []


def test_a_single_run_is_compared_and_its_interval_said_to_be_over_episodes(tmp_path: Path) -> None:
    made = compare_runs([load_run(make_run(tmp_path))])
    assert made.groups[0].score is not None and made.groups[0].score.over == "episodes"
    assert any("one run" in note and "over episodes" in note for note in made.caveats)


def test_an_agent_without_any_final_evaluation_comes_last(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "sb3_ppo", status=None), make_run(tmp_path, "dqn", solved_at=900_000)]
    made = compare_runs([load_run(path) for path in runs])
    assert [group.label for group in made.groups] == ["dqn", "sb3_ppo"]
    assert made.differences == []
