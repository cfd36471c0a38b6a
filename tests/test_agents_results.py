"""Results are recorded once per run, tables are made from them, and a stale table is noticed."""

import re
import threading
from pathlib import Path

import pytest
from synthetic_runs import make_run

from agents import results
from agents.reports.curves import RunDataError, load_run
from agents.results import COLUMNS, ResultsError, read_csv, record, render, row_of, sentence, table, write_csv
from rl_gen_lab.cli.errors import ConfigError


def recorded(tmp_path: Path, seeds: tuple[int, ...] = (1, 2, 3), exp_name: str = "dqn", **changes: object) -> Path:
    file = tmp_path / "results" / "pong.csv"
    runs = [make_run(tmp_path / "runs", exp_name, seed, **changes) for seed in seeds]  # type: ignore[arg-type]
    record(file, [row_of(load_run(path), "Pong on 2 cores") for path in runs])
    return file


def test_a_row_holds_what_the_run_measured(tmp_path: Path) -> None:
    row = row_of(load_run(make_run(tmp_path, solved_at=80_000, steps=200_000, minutes=20)), "claim")
    assert tuple(row) == COLUMNS
    assert (row["what"], row["agent"], row["seed"], row["env_steps"]) == ("claim", "dqn", "1", "200000")
    assert (row["minutes"], row["updates"], row["threads"]) == ("20.0", "100000", "1")
    assert row["threshold"] == "18"
    assert float(row["minutes_to_threshold"]) == pytest.approx(int(row["steps_to_threshold"]) / 10_000)
    assert len(row["eval_returns"].split()) == int(row["eval_episodes"]) == 20
    assert row["versions"] == "torch=2.13.0 gymnasium=1.4.0"


def test_a_score_never_reached_leaves_the_cells_empty(tmp_path: Path) -> None:
    row = row_of(load_run(make_run(tmp_path, solved_at=900_000)), "claim")
    assert (row["steps_to_threshold"], row["minutes_to_threshold"]) == ("", "")


def test_a_threshold_given_replaces_the_known_one(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, solved_at=80_000))
    low, high = row_of(run, "claim", 0.0), row_of(run, "claim", 18.0)
    assert (low["threshold"], high["threshold"]) == ("0", "18")
    assert int(low["steps_to_threshold"]) < int(high["steps_to_threshold"])


@pytest.mark.parametrize("status", ["interrupted", "failed", None])
def test_only_finished_runs_are_recorded(tmp_path: Path, status: str | None) -> None:
    with pytest.raises(RunDataError, match="only finished runs"):
        row_of(load_run(make_run(tmp_path, status=status)), "claim")


def test_recording_a_run_again_replaces_its_row_and_keeps_the_others(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    before = file.read_text()
    _, rows = read_csv(file)
    record(file, [rows[1]])
    assert file.read_text() == before
    record(file, [{**rows[1], "what": "another claim"}])
    assert [row["what"] for row in read_csv(file)[1]] == [
        "Pong on 2 cores",
        "another claim",
        "Pong on 2 cores",
    ]


def test_a_file_with_other_columns_is_not_overwritten(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    _, rows = read_csv(file)
    other = tmp_path / "results" / "memory.csv"
    other.write_text("what,megabytes\nreplay,710\n")
    with pytest.raises(ResultsError, match="other columns"):
        record(other, rows)
    assert other.read_text() == "what,megabytes\nreplay,710\n"


def test_table_ranks_agents_of_one_task_and_counts_seeds(tmp_path: Path) -> None:
    file = recorded(tmp_path, exp_name="sb3_dqn", solved_at=900_000)
    recorded(tmp_path, seeds=(1, 2), solved_at=80_000)
    text = table(file)
    lines = [line for line in text.splitlines() if line.startswith("| Pong")]
    assert (
        "| dqn |" in lines[0]
        and "2 runs (seeds 1 2), 40 episodes" in lines[0]
        and "(2 of 2 runs: 12.0, 12.0 min by seed)" in lines[0]
    )
    assert "| sb3_dqn |" in lines[1] and "not reached (0 of 3 runs)" in lines[1]
    assert "median time to 18" in text


def test_one_score_written_in_two_ways_is_one_score(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1, 2), solved_at=80_000)
    _, (one, two) = read_csv(file)
    write_csv(file, [one | {"threshold": "18"}, two | {"threshold": "18.0"}])
    assert "median time to 18 |" in table(file) and "2 of 2 runs" in table(file)


def test_a_task_without_a_score_to_reach_has_no_column_for_the_time(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    _, rows = read_csv(file)
    write_csv(file, [row | {"threshold": ""} for row in rows])
    head, rule, *lines = (line for line in table(file).splitlines() if line.startswith("|"))
    assert "median time" not in head
    assert len({line.count(" | ") for line in (head, rule, *lines)}) == 1


def test_two_commands_that_record_at_once_lose_no_row(tmp_path: Path) -> None:
    _, rows = read_csv(recorded(tmp_path, seeds=(1,)))
    file, both = tmp_path / "results" / "together.csv", threading.Barrier(2)

    def add(name: str) -> None:
        both.wait()
        for k in range(20):
            record(file, [rows[0] | {"run": f"{name}{k}"}])

    adding = [threading.Thread(target=add, args=(name,)) for name in "ab"]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert len(read_csv(file)[1]) == 40


def test_less_than_a_minute_is_told_in_seconds(tmp_path: Path) -> None:
    file = recorded(tmp_path, seeds=(1, 2), solved_at=80_000)
    _, rows = read_csv(file)
    for row, minutes in zip(rows, ("0.33", ""), strict=True):
        row["minutes_to_threshold"], row["steps_to_threshold"] = minutes, minutes and row["steps_to_threshold"]
    write_csv(file, [*rows, rows[0] | {"run": "third", "seed": "3", "minutes_to_threshold": "1.5"}])
    assert re.search(r"1.5 min, [0-9,]+ steps \(2 of 3 runs: 0.3, never, 1.5 min by seed\)", table(file))
    write_csv(file, [*rows, rows[0] | {"run": "third", "seed": "3", "minutes_to_threshold": "0.06"}])
    assert re.search(r"20 s, [0-9,]+ steps \(2 of 3 runs: 20, never, 4 s by seed\)", table(file))


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
    lines.append("dqn,1,7.0,Breakout,1,a CPU,abc")  # another contest
    file.write_text("agent,pair,env_steps_per_second,work,threads,hardware,commit\n" + "\n".join(lines) + "\n")
    assert "| dqn / sb3 | Pong | 120 [100, 140] | 60 [50, 70] | 2.0 | 2 |" in table(file)


def test_sentence_gives_score_minutes_hardware_and_seeds(tmp_path: Path) -> None:
    text = sentence(recorded(tmp_path, solved_at=80_000))
    for part in (
        "dqn on ALE/Pong-v5",
        "20.0 minutes",
        "Test CPU, 2 cores",
        "3 runs (seeds 1 2 3), 60 episodes",
    ):
        assert part in text
    assert text.endswith(".\n") and text.count("\n") == 1


def test_rendering_fills_markers_and_leaves_all_else_alone(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    readme = "# Title\n<!-- results:pong -->\nold\n<!-- /results:pong -->\nend | of file\n"
    new, stale = render(readme, file.parent)
    assert stale == ["pong"]
    assert new == f"# Title\n<!-- results:pong -->\n{table(file)}<!-- /results:pong -->\nend | of file\n"
    assert render(new, file.parent) == (new, [])


@pytest.mark.parametrize(
    ("readme", "message"),
    [
        ("<!-- results:pnog -->\n<!-- /results:pnog -->", "Did you mean 'pong'"),
        ("<!-- results:pong:poem -->\n<!-- /results:pong:poem -->", "unknown form"),
    ],
)
def test_broken_markers_are_refused(tmp_path: Path, readme: str, message: str) -> None:
    file = recorded(tmp_path, seeds=(1,))
    with pytest.raises(ResultsError, match=message):
        render(readme, file.parent)


def test_a_torn_row_is_refused_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "memory.csv"
    file.write_text("what,megabytes\nreplay,710\nother\n")
    with pytest.raises(ResultsError, match="row 3"):
        read_csv(file)


def test_check_fails_until_the_tables_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "runs", solved_at=80_000)
    readme, folder = tmp_path / "README.md", tmp_path / "results"
    places = ["--results-dir", str(folder), "--readme", str(readme)]
    readme.write_text("<!-- results:pong -->\n<!-- /results:pong -->\n")
    results.main([str(run), "--record", "pong", "--what", "Pong", *places])
    assert "| dqn |" in readme.read_text()
    results.main(["--check", *places])

    readme.write_text(readme.read_text().replace("| dqn |", "| our wonder |"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        results.main(["--check", *places])
    assert stop.value.code == 1
    assert f"{readme} is stale: pong" in capsys.readouterr().out
    assert "our wonder" in readme.read_text()
    results.main(places)
    assert "our wonder" not in readme.read_text()


def test_the_readme_beside_the_folder_of_the_csvs_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "README.md").write_text("<!-- results:pong -->\n<!-- /results:pong -->\n")
    monkeypatch.chdir(here)
    run = make_run(tmp_path / "runs", solved_at=80_000)
    results.main([str(run), "--record", "pong", "--what", "Pong", "--results-dir", str(there / "results")])
    assert "| dqn |" in (there / "README.md").read_text()
    assert "| dqn |" not in (here / "README.md").read_text() and not (here / "results").exists()


def test_without_a_sound_readme_nothing_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "runs", solved_at=80_000)
    with pytest.raises(SystemExit):
        results.main([str(run), "--record", "pong", "--what", "Pong", "--results-dir", str(tmp_path / "results")])
    assert "README.md; run this in the checkout or give --readme" in capsys.readouterr().err
    (tmp_path / "README.md").write_text("<!-- results:pong -->\n")
    with pytest.raises(SystemExit):
        results.main([str(run), "--record", "pong", "--what", "Pong", "--results-dir", str(tmp_path / "results")])
    assert "<!-- results:pong --> is not closed" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_arguments_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match="belong together"):
        results.Options(record="pong")
    with pytest.raises(ConfigError, match="--what"):
        results.Options(record="pong", runs=(Path("a"),))
    with pytest.raises(ConfigError, match="--threshold must be a number"):
        results.Options(threshold=float("nan"))


@pytest.mark.parametrize("flag", ["--runs-dir /somewhere/else", "--runs_dir=/somewhere/else"])
def test_a_recorded_command_does_not_name_a_folder_of_one_machine(flag: str) -> None:
    words = ["python -m agents.dqn", "--env", "CartPole", *flag.split(" "), "--seed", "2"]
    assert results.portable(words) == "python -m agents.dqn --env CartPole --seed 2"
