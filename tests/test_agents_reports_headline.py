"""The short table shows our agent and the reference at the same task, with seeds and minutes of both."""

from pathlib import Path

import pytest
from result_rows import cartpole_row, rows_of

from agents.reports.format import interval
from agents.reports.headline import headline
from agents.reports.recorded_runs import record, score
from agents.reports.store import ResultsError, Row


@pytest.fixture
def template(tmp_path: Path) -> Row:
    return cartpole_row(tmp_path)


def whole_table(folder: Path, *rows: str) -> list[str]:
    """Lines of the table, which has one row per text."""
    (folder / "overview.toml").write_text(f"rows = {list(rows)}\n")
    return headline(folder / "overview.csv").splitlines()


def table(folder: Path, *rows: str) -> list[str]:
    """Lines of the table below its head."""
    return whole_table(folder, *rows)[2:]


def test_a_row_has_both_sides_with_minutes_and_seeds(tmp_path: Path, template: Row) -> None:
    ours, theirs = rows_of(template, "ppo", 50), rows_of(template, "sb3_ppo", 10, minutes="7.25")
    record(tmp_path / "classic.csv", ours + theirs)
    cells = ["CartPole-v1", f"ppo {interval(score(ours))}", f"ppo {interval(score(theirs))}", "20.0 / 7.2", "1 2 3"]
    assert table(tmp_path, "classic CartPole-v1 ppo") == [f"| {' | '.join(cells)} |"]
    assert cells[1].startswith("ppo 50.0 [")


def test_the_reference_of_the_same_budget_is_preferred_and_another_one_accepted(tmp_path: Path, template: Row) -> None:
    rows = rows_of(template, "ppo", 50, what="a") + rows_of(template, "sb3_ppo", 10, what="b", seeds=2)
    record(tmp_path / "classic.csv", rows)
    (line,) = table(tmp_path, "classic CartPole-v1 ppo")
    assert "| ppo 10.0 [" in line and line.endswith("| 1 2 3 / 1 2 |")
    record(tmp_path / "classic.csv", rows_of(template, "sb3_ppo", 20, what="a"))
    (line,) = table(tmp_path, "classic CartPole-v1 ppo")
    assert "| ppo 20.0 [" in line


def test_seeds_are_listed_for_both_sides_unless_all_rows_have_the_same(tmp_path: Path, template: Row) -> None:
    same = rows_of(template, "ppo", 50) + rows_of(template, "sb3_ppo", 10)
    record(tmp_path / "classic.csv", same + rows_of(template, "dqn", 50))
    head, _, *lines = whole_table(tmp_path, "classic CartPole-v1 ppo", "classic CartPole-v1 dqn")
    assert head.endswith("| seeds |") and all(line.endswith("| 1 2 3 |") for line in lines)
    record(tmp_path / "classic.csv", rows_of(template, "sb3_dqn", 10, seeds=2))
    head, _, *lines = whole_table(tmp_path, "classic CartPole-v1 ppo", "classic CartPole-v1 dqn")
    assert head.endswith("| seeds, ours / SB3 |")
    assert [line.split(" | ")[-1] for line in lines] == ["1 2 3 / 1 2 3 |", "1 2 3 / 1 2 |"]


def test_a_record_is_named_where_there_are_several(tmp_path: Path, template: Row) -> None:
    record(tmp_path / "pong.csv", rows_of(template, "dqn", 5, what="make pong") + rows_of(template, "dqn", 9, what="b"))
    (line,) = table(tmp_path, "pong CartPole-v1 dqn make pong")
    assert "| dqn 5.0 [" in line
    with pytest.raises(ResultsError, match='write "pong CartPole-v1 dqn b" or "pong CartPole-v1 dqn make pong"'):
        table(tmp_path, "pong CartPole-v1 dqn")


def test_an_agent_without_counterpart_stands_alone(tmp_path: Path, template: Row) -> None:
    record(tmp_path / "classic.csv", rows_of(template, "reinforce", 50) + rows_of(template, "sb3_ppo", 10))
    record(tmp_path / "pong.csv", rows_of(template, "dqn", 5, env_id="ALE/Pong-v5"))
    first, second = table(tmp_path, "classic CartPole-v1 reinforce", "pong ALE/Pong-v5 dqn")
    assert "| - | 20.0 | 1 2 3 |" in first and second.startswith("| ALE/Pong-v5 | dqn 5.0 [")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows = [", "cannot read"),
        ("rows = 3", "must be a list"),
        ('rows = ["classic CartPole-v1"]', "must be a list"),
        ("rows = []", "1 to 8 rows, not 0"),
        (f"rows = {['classic CartPole-v1 ppo'] * 9}", "1 to 8 rows, not 9"),
        ('rows = ["classic CartPole-v1 pppo"]', "no runs of 'classic CartPole-v1 pppo'. Did you mean 'classic Cart"),
        ('rows = ["clasic CartPole-v1 ppo"]', "Did you mean 'classic'"),
        ('rows = ["twice CartPole-v1 ppo"]', "several records of ppo"),
        ('rows = ["theirs CartPole-v1 ppo"]', "several records of sb3_ppo"),
    ],
)
def test_rows_that_cannot_be_shown_are_refused(tmp_path: Path, template: Row, text: str, message: str) -> None:
    ours = rows_of(template, "ppo", 50)
    record(tmp_path / "classic.csv", ours)
    record(tmp_path / "twice.csv", ours + rows_of(template, "ppo", 50, what="more steps"))
    theirs = [row for what in "ab" for row in rows_of(template, "sb3_ppo", 50, what=what)]
    record(tmp_path / "theirs.csv", ours + theirs)
    (tmp_path / "overview.toml").write_text(text)
    with pytest.raises(ResultsError, match=message):
        headline(tmp_path / "overview.csv")


def test_a_missing_choice_of_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"cannot read .*overview\.toml"):
        headline(tmp_path / "overview.csv")
