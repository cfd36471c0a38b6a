"""Tables rank the runs of a task, count seeds, and never mix tasks."""

import re
from pathlib import Path

import pytest
from result_rows import recorded

from agents.reports.recorded_runs import COLUMNS, read_runs
from agents.reports.store import ResultsError, write_csv
from agents.reports.tables import sentence, speed_sentence, table


def test_table_ranks_agents_of_one_task_and_counts_seeds(tmp_path: Path) -> None:
    file = recorded(tmp_path, exp_name="sb3_dqn", solved_at=900_000)
    recorded(tmp_path, seeds=(1, 2), solved_at=80_000)
    text = table(file)
    lines = [line for line in text.splitlines() if line.startswith("| Pong")]
    assert (
        "| dqn |" in lines[0]
        and "2 runs (seeds 1 2), 40 episodes" in lines[0]
        and "(2 of 2 runs, by seed: 12.0 min, 12.0 min)" in lines[0]
    )
    assert "| sb3_dqn |" in lines[1] and "not reached (0 of 3 runs)" in lines[1]
    assert "median time to 18" in text


def test_one_score_written_in_two_ways_is_one_score(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1, 2), solved_at=80_000)
    first, second = read_runs(file)
    write_csv(file, COLUMNS, [first | {"threshold": "18"}, second | {"threshold": "18.0"}])
    assert "median time to 18 |" in table(file) and "2 of 2 runs" in table(file)


def test_a_task_without_a_score_to_reach_has_no_column_for_the_time(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    rows = read_runs(file)
    write_csv(file, COLUMNS, [row | {"threshold": ""} for row in rows])
    head, rule, *lines = (line for line in table(file).splitlines() if line.startswith("|"))
    assert "median time" not in head
    assert len({line.count(" | ") for line in (head, rule, *lines)}) == 1


def test_times_below_a_minute_are_in_seconds(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1, 2), solved_at=80_000)
    rows = read_runs(file)
    for row, minutes in zip(rows, ("0.33", ""), strict=True):
        row["minutes_to_threshold"], row["steps_to_threshold"] = minutes, minutes and row["steps_to_threshold"]
    write_csv(file, COLUMNS, [*rows, rows[0] | {"run": "third", "seed": "3", "minutes_to_threshold": "1.5"}])
    assert re.search(r"1.5 min, [0-9,]+ steps \(2 of 3 runs, by seed: 20 s, never, 1.5 min\)", table(file))
    write_csv(file, COLUMNS, [*rows, rows[0] | {"run": "third", "seed": "3", "minutes_to_threshold": "0.06"}])
    assert re.search(r"20 s, [0-9,]+ steps \(2 of 3 runs, by seed: 20 s, never, 4 s\)", table(file))


def test_tasks_with_different_fingerprints_get_tables_of_their_own(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    recorded(tmp_path, exp_name="sb3_dqn", task={"sticky": 0.0})
    text = table(file)
    assert text.count("| what |") == 2
    first, second = text.split("\n\nTask ")
    assert "| dqn |" in first and "| sb3_dqn |" not in first
    assert "sticky 0.0" in second and "| sb3_dqn |" in second


def test_half_of_the_runs_solving_is_not_called_solved(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1,), solved_at=80_000)
    recorded(tmp_path, seeds=(2,), solved_at=900_000)
    assert "not reached (1 of 2 runs)" in table(file)


def test_other_csv_files_keep_their_rows_and_say_once_what_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.csv"
    file.write_text("what,megabytes,hardware,threads,commit\nreplay a|b,710,a CPU,1,abc\nother,9,a CPU,2,def\n")
    text = "| what | megabytes | threads |\n| --- | --- | --- |\n| replay a\\|b | 710 | 1 |\n| other | 9 | 2 |\n"
    note = "\nHardware: a CPU. Commit, date and command of every row: `results/memory.csv`.\n"
    assert table(file) == text + note


def test_speeds_measured_in_pairs_become_one_row_with_both_medians(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    rows = [("dqn", 1, 100.0), ("sb3", 1, 50.0), ("dqn", 2, 140.0), ("sb3", 2, 70.0), ("dqn / sb3", "medians", 2.0)]
    lines = [f"{agent},{pair},{speed},Pong,1,a CPU,abc" for agent, pair, speed in rows]
    lines.append("dqn,1,7.0,Breakout,1,a CPU,abc")  # another matchup
    file.write_text("agent,pair,env_steps_per_second,work,threads,hardware,commit\n" + "\n".join(lines) + "\n")
    assert "| dqn / sb3 | Pong | 120 [100, 140] | 60 [50, 70] | 2.0 | 2 |" in table(file)
    lines += [f"dqn / sb3,{end},{ratio},Pong,1,a CPU,abc" for end, ratio in (("lowest", 1.9), ("highest", 2.1))]
    file.write_text("agent,pair,env_steps_per_second,work,threads,hardware,commit\n" + "\n".join(lines) + "\n")
    text = table(file)
    assert "| dqn / sb3 | Pong | 120 [100, 140] | 60 [50, 70] | 2.0 [1.9, 2.1] | 2 |" in text
    assert text.count("dqn / sb3") == 1


def test_the_sentence_of_speeds_names_those_beside_plain_stable_baselines3(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    head = "agent,pair,env_steps_per_second,work\n"
    old = "ppo / sb3_ppo,medians,1.53,CartPole: a network\n"
    file.write_text(head + old)
    assert "not recorded yet" in speed_sentence(file)
    new = "dqn / plain_sb3_dqn,medians,1.4,Pong: a network\ndqn / plain_sb3_dqn,lowest,1.3,Pong: a network\n"
    new += "sb3_dqn / plain_sb3_dqn,medians,0.9,Pong: a network\n"  # our adapter, no agent of ours
    new += "ppo / plain_sb3_ppo,medians,1.62,CartPole: a network\n"
    file.write_text(head + old + new)
    assert speed_sentence(file).endswith(
        " more steps per second than plain Stable-Baselines3: 1.4 times (dqn, Pong), 1.62 times (ppo, CartPole).\n"
    )
    file.write_text(head + new.replace("1.62", "0.8"))
    assert "our agents relative to plain Stable-Baselines3: 1.4 times (dqn, Pong), 0.8 times" in speed_sentence(file)


def test_sentence_says_when_the_score_was_reached_and_how_it_was_measured(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1, 2), solved_at=80_000)
    recorded(tmp_path, seeds=(3,), solved_at=900_000)
    rows = read_runs(file)
    changed = [row | {"minutes_to_threshold": time} for row, time in zip(rows, ("20.6", "49.6", ""), strict=True)]
    write_csv(file, COLUMNS, changed)
    text = sentence(file)
    assert text.startswith(
        "dqn on ALE/Pong-v5 reaches 18 points in 21 to 50 minutes on 2 cores (2 of 3 runs). Its final score is "
    )
    assert "the interquartile mean of 60 episodes (seeds 1, 2, 3; 95 % interval " in text
    assert text.endswith("). Measured on Test CPU, 2 cores, 8 GB, no GPU.\n") and text.count("\n") == 1


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (("", "", ""), "does not reach 18 points in 20 minutes on 2 cores (0 of 3 runs)"),
        (("0.1", "0.3", ""), "reaches 18 points in 6 to 18 seconds on 2 cores (2 of 3 runs)"),
        (("0.5", "2", "3"), "reaches 18 points in 30 s to 3.0 min on 2 cores (3 of 3 runs)"),
        (("2", "2", "2.1"), "reaches 18 points in 2 minutes on 2 cores (3 of 3 runs)"),
    ],
)
def test_sentence_has_words_for_every_outcome(tmp_path: Path, minutes: tuple[str, ...], words: str) -> None:
    file = recorded(tmp_path)
    rows = [row | {"minutes_to_threshold": time} for row, time in zip(read_runs(file), minutes, strict=True)]
    write_csv(file, COLUMNS, rows)
    assert f" {words}. " in sentence(file)


def test_sentence_without_a_score_to_reach_gives_the_time(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1,))
    write_csv(file, COLUMNS, [row | {"threshold": "", "minutes_to_threshold": ""} for row in read_runs(file)])
    assert "dqn on ALE/Pong-v5 trains for 20.0 minutes on 2 cores (1 run). " in sentence(file)


def test_a_sentence_needs_recorded_runs(tmp_path: Path) -> None:
    file = tmp_path / "pong.csv"
    write_csv(file, COLUMNS, [])
    with pytest.raises(ResultsError, match="records no runs yet"):
        sentence(file)
    file.write_text("what,megabytes\nreplay,710\n")
    with pytest.raises(ResultsError, match="does not record runs"):
        sentence(file)
