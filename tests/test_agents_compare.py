"""Comparisons refuse what cannot be compared, group runs rightly, and make the missing runs once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import make_run

from agents import compare
from agents.compare import Config, IncomparableRunsError, compare_runs, group_runs, make_runs, task_differences
from agents.experiments import launcher
from agents.reports.curves import load_run
from rl_gen_lab.cli.errors import ConfigError, SaveError


@pytest.fixture
def six_runs(tmp_path: Path) -> list[Path]:
    """Three runs that solve Pong and three that do not."""
    ours = [make_run(tmp_path / "runs", "dqn", seed, solved_at=80_000) for seed in (1, 2, 3)]
    return ours + [make_run(tmp_path / "runs", "sb3_dqn", seed, solved_at=900_000) for seed in (1, 2, 3)]


def test_better_agent_is_ranked_first_with_a_gap_that_excludes_zero(six_runs: list[Path]) -> None:
    made = compare_runs([load_run(path) for path in reversed(six_runs)])
    assert [group.label for group in made.groups] == ["dqn", "sb3_dqn"]
    [(better, worse, gap)] = made.differences
    assert (better, worse) == ("dqn", "sb3_dqn")
    assert gap.low > 30
    assert made.groups[0].score is not None and made.groups[0].score.runs == 3
    assert all(crossing is not None for crossing in made.groups[0].crossings[18])
    assert made.groups[1].crossings[18] == [None, None, None]


def test_runs_of_different_tasks_are_refused_field_by_field(tmp_path: Path) -> None:
    left = make_run(tmp_path, "dqn")
    right = make_run(tmp_path, "sb3_dqn", task={"sticky": 0.0, "image_size": 42})
    with pytest.raises(IncomparableRunsError) as refusal:
        compare_runs([load_run(left), load_run(right)])
    assert "sticky: 0.25 vs 0.0; image_size: 84 vs 42" in str(refusal.value)
    assert left.name in str(refusal.value) and right.name in str(refusal.value)


def test_every_run_that_differs_is_named(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=1)]
    runs += [make_run(tmp_path, seed=seed, task={"sticky": 0.0}) for seed in (2, 3)]
    with pytest.raises(IncomparableRunsError) as refusal:
        compare_runs([load_run(path) for path in runs])
    assert runs[1].name in str(refusal.value) and runs[2].name in str(refusal.value)


def test_a_field_that_one_task_lacks_is_said_to_be_absent(tmp_path: Path) -> None:
    left, right = make_run(tmp_path), make_run(tmp_path, seed=2, task={"mirror": True})
    assert task_differences(load_run(left), load_run(right)) == ["mirror: absent vs True"]


def test_seeds_and_bookkeeping_do_not_split_an_agent_but_settings_do(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, seed=1, settings={"n_step": 3, "wandb": {"mode": "offline"}}),
        make_run(tmp_path, seed=2, settings={"n_step": 3, "wandb": {"mode": "online"}}, minutes=30.0),
        make_run(tmp_path, seed=1, settings={"n_step": 1}),
    ]
    groups = group_runs([load_run(path) for path in runs])
    assert {label: len(members) for label, members in groups.items()} == {
        "dqn (n_step=3)": 2,
        "dqn (n_step=1)": 1,
    }


def test_a_setting_that_only_one_configuration_has_splits_too(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=1), make_run(tmp_path, seed=2, settings={"backbone": "nature"})]
    groups = group_runs([load_run(path) for path in runs])
    assert list(groups) == ["dqn (backbone=None)", "dqn (backbone=nature)"]


def test_a_setting_that_is_off_does_not_split_runs_of_a_version_that_lacks_it(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed=1), make_run(tmp_path, seed=2, settings={"gamma_end": None})]
    assert list(group_runs([load_run(path) for path in runs])) == ["dqn"]


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


# ---- making the runs


def test_runs_are_made_seed_by_seed_within_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Config(env="Pong", agents=("dqn", "sb3:dqn"), seeds=2, minutes=20.0, runs_dir=tmp_path)
    asked: list[launcher.Job] = []

    def make_all(jobs: list[launcher.Job], runs_dir: Path) -> Iterator[launcher.Outcome]:
        asked.extend(jobs)
        yield from (launcher.Outcome(job, runs_dir / str(number)) for number, job in enumerate(jobs))

    monkeypatch.setattr(compare, "make_all", make_all)
    assert list(make_runs(settings)) == [tmp_path / str(number) for number in range(4)]
    assert [(job.agent.exp_name, job.seed) for job in asked] == [("dqn", 1), ("sb3_dqn", 1), ("dqn", 2), ("sb3_dqn", 2)]
    assert {(job.env, job.minutes, job.runs_dir) for job in asked} == {("Pong", 20.0, tmp_path)}


def test_a_failing_run_stops_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "make_all", lambda jobs, runs_dir: iter([launcher.Outcome(jobs[0], None, 3)]))
    with pytest.raises(launcher.RunFailedError, match="dqn on Pong with seed 1 ended with exit code 3"):
        list(make_runs(Config(env="Pong", agents=("dqn",), runs_dir=tmp_path)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either run folders, or --env and --agents"),
        ({"agents": ("dqn",)}, "belong together"),
        ({"agents": ("dqn",), "env": "Pong", "seeds": 0}, "--seeds must be at least 1"),
        ({"runs": (Path("a"),), "agents": ("dqn",), "env": "Pong"}, "either run folders"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**arguments)


# ---- the command


def test_command_writes_page_figure_and_numbers(six_runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "comparisons"
    compare.main([*map(str, six_runs), "--out", str(out), "--wandb.mode", "offline"])
    [folder] = out.iterdir()
    assert folder.name.startswith("Pong__")
    numbers = json.loads((folder / "comparison.json").read_text())
    assert [group["agent"] for group in numbers["groups"]] == ["dqn", "sb3_dqn"]
    assert (folder / "learning_curves.png").stat().st_size > 10_000
    assert (folder / "index.html").exists()
    assert list(folder.glob("**/run-*.wandb"))


def test_command_exits_with_2_and_the_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path, "dqn"), make_run(tmp_path, "sb3_dqn", task={"sticky": 0.0})]
    with pytest.raises(SystemExit) as stop:
        compare.main([*map(str, runs), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "sticky: 0.25 vs 0.0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_command_exits_with_2_on_an_unknown_env(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        compare.main(["--env", "Pongg", "--agents", "dqn", "--runs-dir", str(tmp_path)])
    assert stop.value.code == 2
    assert "'Pong'" in capsys.readouterr().err


def test_a_folder_given_twice_is_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(make_run(tmp_path, evaluations=0, steps=9000))
    compare.main([run, run + "/", "--out", str(tmp_path / "out"), "--wandb.mode", "disabled"])
    assert "(1 run)" in capsys.readouterr().out


def test_command_exits_with_2_on_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        compare.main([str(tmp_path / "nothing")])
    assert stop.value.code == 2
    assert "nothing" in capsys.readouterr().err


def test_a_comparison_that_cannot_be_written_is_one_line(six_runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match="could not save"):
        compare.write_comparison(compare_runs([load_run(path) for path in six_runs]), tmp_path / "file")
