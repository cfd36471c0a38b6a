"""What the README shows of a benchmark follows from its CSV, and a stale picture is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from synthetic_runs import make_run

from agents import results
from agents.reports.benchmark import compare_cells, losses_text, picture_is_current, section, write_picture
from agents.reports.curves import load_run
from agents.reports.tables import ResultsError, Row, read_csv
from agents.results import record, row_of, write_csv

MARKERS = "# Title\n<!-- results:classic:suite -->\n<!-- /results:classic:suite -->\nend\n"


@pytest.fixture
def template(tmp_path: Path) -> Row:
    return row_of(load_run(make_run(tmp_path / "runs", "ppo", env_id="CartPole-v1", steps=9000)), "9,000 env steps")


def rows_of(template: Row, agent: str, level: float, seeds: int = 3, **changes: str) -> list[Row]:
    """Runs whose episodes all return about `level`."""
    return [
        template
        | {
            "agent": agent,
            "seed": str(seed),
            "eval_returns": f"{level + seed:g} {level - seed:g}",
            "eval_episodes": "2",
            "run": f"{agent}-{seed}-{changes}",
        }
        | changes
        for seed in range(1, seeds + 1)
    ]


def test_only_the_same_algorithm_on_the_same_task_and_budget_is_compared(template: Row) -> None:
    rows = rows_of(template, "ppo", 10) + rows_of(template, "sb3_ppo", 50)
    rows += rows_of(template, "dqn", 10) + rows_of(template, "sb3_a2c", 50)
    rows += rows_of(template, "dqn", 10, fingerprint="other") + rows_of(template, "sb3_dqn", 50, what="more steps")
    losses, both = compare_cells(rows)
    assert both == 1
    assert [(loss.ours[0]["agent"], loss.difference.value) for loss in losses] == [("ppo", pytest.approx(-40))]
    assert losses[0].difference.high < 0


def test_a_cell_that_we_win_or_tie_is_not_listed_and_a_doubtful_one_says_so(template: Row) -> None:
    won = rows_of(template, "ppo", 50) + rows_of(template, "sb3_ppo", 10)
    tied = rows_of(template, "dqn", 50) + rows_of(template, "sb3_dqn", 50)
    assert losses_text(won + tied, {}) == "Stable-Baselines3 scores higher at the same budget in 0 of 2 cells.\n"
    close = rows_of(template, "ppo", 50) + rows_of(template, "sb3_ppo", 50.5)
    text = losses_text(close, {"CartPole-v1 ppo": "an honest reason"})
    assert "in 1 of 1 cells" in text and "may be chance" in text and "an honest reason" in text
    assert "not explained yet" in losses_text(close, {})


def test_reasons_are_read_from_beside_the_csv(tmp_path: Path, template: Row) -> None:
    file = tmp_path / "classic.csv"
    record(file, rows_of(template, "ppo", 10) + rows_of(template, "sb3_ppo", 50))
    (tmp_path / "reasons.toml").write_text('[classic]\n"CartPole-v1 ppo" = "fewer passes"\n')
    text = section(file)
    assert "fewer passes" in text and "classic.png" in text and "3 runs (seeds 1 2 3)" in text
    (tmp_path / "reasons.toml").write_text('[classic]\n"CartPole-v1 ppo" = """fewer\npasses"""\n')
    assert "| fewer passes |" in section(file)
    for wrong, said in (
        ("[classic\n", "cannot read"),
        ("classic = 3\n", "must be a table"),
        ('[classic]\n"CartPole-v1 ppo" = 3\n', "must be a table"),
    ):
        (tmp_path / "reasons.toml").write_text(wrong)
        with pytest.raises(ResultsError, match=said):
            section(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "one"}, "row 2: seed is 'one'"),
        ({"minutes": ""}, "row 2: minutes is ''"),
        ({"eval_returns": ""}, "row 2: eval_returns"),
        ({"eval_returns": "1 nan"}, "row 2: eval_returns"),
        ({"eval_episodes": "1.5"}, "row 2: eval_episodes"),
        ({"threshold": "high"}, "row 2: threshold"),
        ({"minutes_to_threshold": "soon"}, "row 2: minutes_to_threshold"),
    ],
)
def test_a_row_that_nothing_can_be_computed_from_is_named(
    tmp_path: Path, template: Row, change: Row, said: str
) -> None:
    file = tmp_path / "classic.csv"
    write_csv(file, [template | {"threshold": ""} | change])
    with pytest.raises(ResultsError, match=said):
        read_csv(file)


def test_a_run_that_stands_twice_is_named_and_not_counted_twice(tmp_path: Path, template: Row) -> None:
    file = tmp_path / "classic.csv"
    write_csv(file, [*rows_of(template, "ppo", 10), rows_of(template, "ppo", 10)[0]])
    with pytest.raises(ResultsError, match="rows 2 and 5 are of the same run"):
        section(file)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'what,agent\n"' + b"x" * 200_000])
def test_a_file_that_is_no_csv_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "classic.csv"
    file.write_bytes(content)
    with pytest.raises(ResultsError, match=r"classic\.csv"):
        section(file)


def test_a_benchmark_without_runs_says_how_to_make_them_and_needs_no_picture(tmp_path: Path) -> None:
    file = tmp_path / "classic.csv"
    write_csv(file, [])
    assert section(file) == "Not run yet: `python -m agents.benchmark --suite classic`.\n"
    assert picture_is_current(file)


def test_the_same_rows_give_the_same_picture_byte_by_byte_and_others_make_it_stale(
    tmp_path: Path, template: Row
) -> None:
    file = tmp_path / "classic.csv"
    rows = [row for agent, level in (("ppo", 10), ("sb3_ppo", 50)) for row in rows_of(template, agent, level)]
    more = rows_of(template, "ppo", 7, seeds=1, fingerprint="other", env_id="Pendulum-v1")
    record(file, rows + more)
    assert not picture_is_current(file)
    path = write_picture(file)
    first = path.read_bytes()
    assert picture_is_current(file)
    assert write_picture(file).read_bytes() == first
    with Image.open(path) as image:
        assert image.width > 1.5 * image.height  # two tasks beside each other
    record(file, rows_of(template, "ppo", 10, seeds=4)[3:])
    assert not picture_is_current(file)
    path.write_bytes(b"no picture")
    assert not picture_is_current(file)


def test_check_fails_until_tables_and_picture_are_made(
    tmp_path: Path, template: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, folder = tmp_path / "README.md", tmp_path / "results"
    readme.write_text(MARKERS)
    record(folder / "classic.csv", rows_of(template, "ppo", 10) + rows_of(template, "sb3_ppo", 50))
    places = ["--results-dir", str(folder), "--readme", str(readme)]
    results.main(places)
    assert "1 of 1 cells" in readme.read_text() and (folder / "classic.png").exists()
    results.main(["--check", *places])
    (folder / "classic.png").unlink()
    with pytest.raises(SystemExit) as stop:
        results.main(["--check", *places])
    assert stop.value.code == 1 and "the picture of" in capsys.readouterr().out
    results.main(places)
    results.main(["--check", *places])


def test_a_reason_for_a_cell_that_does_not_exist_is_told(
    tmp_path: Path, template: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, file = tmp_path / "README.md", tmp_path / "classic.csv"
    readme.write_text(MARKERS)
    record(file, rows_of(template, "ppo", 10) + rows_of(template, "sb3_ppo", 50))
    (tmp_path / "reasons.toml").write_text('[classic]\n"CartPole-v1 ppo" = "a"\n"CartPole-v1 pppo" = "b"\n')
    results.main(["--results-dir", str(tmp_path), "--readme", str(readme)])
    said = capsys.readouterr().out
    assert "has no runs of 'CartPole-v1 pppo'. Did you mean 'CartPole-v1 ppo'?" in said
    assert said.count("has no runs of") == 1


def test_a_csv_that_records_no_runs_is_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "classic.csv").write_text("what,megabytes\nreplay,710\n")
    with pytest.raises(ResultsError, match="no benchmark"):
        section(tmp_path / "classic.csv")


def test_a_kill_while_recording_leaves_the_old_rows(
    tmp_path: Path, template: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "classic.csv"
    record(file, rows_of(template, "ppo", 10))
    before = file.read_bytes()

    def killed(path: Path, rows: list[Row]) -> None:
        path.write_text("what,ag")
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "write_csv", killed)
    with pytest.raises(KeyboardInterrupt):
        record(file, rows_of(template, "dqn", 10))
    assert file.read_bytes() == before and len(read_csv(file)[1]) == 3
    assert [path.name for path in tmp_path.glob("classic*")] == ["classic.csv"]
