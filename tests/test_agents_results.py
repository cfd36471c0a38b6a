"""The command records runs, writes the tables and figures of documents, and notices stale ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from result_rows import cartpole_row, rows_of
from synthetic_runs import make_run

from agents import results
from agents.reports.recorded_runs import record
from agents.reports.store import Row
from rl_gen_lab.cli.errors import ConfigError

MARKERS = "# Title\n<!-- results:classic:suite -->\n<!-- /results:classic:suite -->\nend\n"


@pytest.fixture
def template(tmp_path: Path) -> Row:
    return cartpole_row(tmp_path)


def test_check_fails_until_the_tables_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "runs", solved_at=80_000)
    readme, folder = tmp_path / "README.md", tmp_path / "results"
    places = ["--results-dir", str(folder), "--readme", str(readme)]
    readme.write_text("<!-- results:pong -->\n<!-- /results:pong -->\n")
    results.main([str(run), "--record", "pong", "--what", "Pong", *places])
    assert "| dqn |" in readme.read_text()
    results.main(["--check", *places])

    readme.write_text(readme.read_text().replace("| dqn |", "| another agent |"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        results.main(["--check", *places])
    assert stop.value.code == 1
    assert f"{readme} is stale: pong" in capsys.readouterr().out
    assert "another agent" in readme.read_text()
    results.main(places)
    assert "another agent" not in readme.read_text()


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


def test_a_row_is_not_written_where_another_csv_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, folder = make_run(tmp_path / "runs", solved_at=80_000), tmp_path / "results"
    folder.mkdir()
    (folder / "other.csv").write_text("a,b\n1\n")
    names = ("pong", "other")
    (tmp_path / "README.md").write_text("".join(f"<!-- results:{n} -->\n<!-- /results:{n} -->\n" for n in names))
    with pytest.raises(SystemExit):
        results.main([str(run), "--record", "pong", "--what", "Pong", "--results-dir", str(folder)])
    assert "other.csv" in capsys.readouterr().err and not (folder / "pong.csv").exists()


def test_arguments_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match="belong together"):
        results.Options(record="pong")
    with pytest.raises(ConfigError, match="--what"):
        results.Options(record="pong", runs=(Path("a"),))
    with pytest.raises(ConfigError, match="threshold must be from"):
        results.Options(threshold=float("nan"))


def test_check_fails_until_tables_and_figure_are_made(
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
    assert stop.value.code == 1 and "the figure of" in capsys.readouterr().out
    results.main(places)
    results.main(["--check", *places])


def test_a_reason_for_a_cell_that_does_not_exist_is_reported(
    tmp_path: Path, template: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, file = tmp_path / "README.md", tmp_path / "classic.csv"
    readme.write_text(MARKERS)
    record(file, rows_of(template, "ppo", 10) + rows_of(template, "sb3_ppo", 50))
    (tmp_path / "reasons.toml").write_text('[classic]\n"CartPole-v1 ppo" = "a"\n"CartPole-v1 pppo" = "b"\n')
    results.main(["--results-dir", str(tmp_path), "--readme", str(readme)])
    printed = capsys.readouterr().out
    assert "has no runs of 'CartPole-v1 pppo'. Did you mean 'CartPole-v1 ppo'?" in printed
    assert printed.count("has no runs of") == 1


def test_every_document_beside_the_csvs_is_written_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, more = tmp_path / "README.md", tmp_path / "docs" / "results.md"
    more.parent.mkdir()
    readme.write_text("<!-- results:classic -->\n<!-- /results:classic -->\n")
    more.write_text(MARKERS)
    record(tmp_path / "results" / "classic.csv", rows_of(template, "ppo", 10))
    monkeypatch.chdir(tmp_path)
    results.main([])
    assert "| ppo |" in readme.read_text() and "](../results/classic.png)" in more.read_text()
    results.main(["--check"])
    assert capsys.readouterr().out.count("agrees with results") == 2

    for document, late in ((readme, "README.md is stale: classic."), (more, "results.md is stale: classic:suite.")):
        kept = document.read_text()
        document.write_text(kept.replace("| ppo |", "| another |"))
        with pytest.raises(SystemExit) as stop:
            results.main(["--check"])
        printed = capsys.readouterr().out
        assert stop.value.code == 1 and late in printed and printed.count("is stale") == 1
        document.write_text(kept)
    (tmp_path / "results" / "classic.png").unlink()
    with pytest.raises(SystemExit):
        results.main(["--check"])
    assert "results.md is stale: the figure of results/classic.csv." in capsys.readouterr().out


def test_a_document_that_is_named_is_the_only_one_written(tmp_path: Path, template: Row) -> None:
    other = tmp_path / "other.md"
    for document in (tmp_path / "README.md", other):
        document.write_text("<!-- results:classic -->\n<!-- /results:classic -->\n")
    record(tmp_path / "results" / "classic.csv", rows_of(template, "ppo", 10))
    results.main(["--results-dir", str(tmp_path / "results"), "--readme", str(other)])
    assert "| ppo |" in other.read_text() and "| ppo |" not in (tmp_path / "README.md").read_text()


RECORDED = sorted((Path(__file__).parent / "recorded").glob("*__CartPole__*"))


@pytest.mark.parametrize("run", RECORDED, ids=lambda run: run.name.partition("__")[0])
def test_runs_recorded_by_an_earlier_version_still_give_their_row(run: Path) -> None:
    row = results.row_of(run, "claim", 0.0)
    assert row["run"] == run.name and row["commit"].startswith("f1895f2")
    assert int(row["steps_to_threshold"] or "0") <= int(row["env_steps"]) and len(row["eval_returns"].split()) == 2
