"""A job knows the command of its run, and finds the run that it made before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from run_jobs import job, stopped_run
from synthetic_runs import make_run

from agents.experiments.jobs import Job, damaged_runs, parse_agent, refuse_wrong_flags, seeds_from, user_flags
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import WandbConfig


def test_command_of_a_reference_run_is_the_one_a_person_would_type(tmp_path: Path) -> None:
    words = job(tmp_path, "sb3:dqn --backbone nature", 2).command()
    assert words[:5] == [sys.executable, "-m", "agents.sb3", "--algo", "dqn"]
    assert " ".join(words[5:11]) == "--env Pong --seed 2 --total-minutes 20"
    assert words[-2:] == ["--backbone", "nature"]
    assert "--total-minutes" not in job(tmp_path, minutes=None).command()


def test_unknown_agent_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown agent 'dqnn'.*'dqn'"):
        parse_agent("dqnn")
    with pytest.raises(ConfigError, match="unknown agent ''"):
        parse_agent("")


@pytest.mark.parametrize("text", ["ppo --seed 3", "ppo --env=Acrobot", "sb3:ppo --algo dqn", "ppo --total_minutes 5"])
def test_flags_that_would_make_another_cell_than_the_one_recorded_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a flag of the agent"):
        parse_agent(text)


@pytest.mark.parametrize("flag", ["-h", "--help", "--resume runs/x", "--resume=runs/x"])
def test_flags_that_make_no_new_run_are_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match="every run of this command is a new one"):
        parse_agent(f"sb3:ppo {flag}")


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("ppo --clip 5", "ppo on CartPole: .*clip must be"),
        ("sb3:a2c --a2c.gamm 1", "sb3_a2c on CartPole: .*--a2c.gamma"),
        ("dqn --preset nowhere", "dqn on CartPole: unknown preset 'nowhere'"),
        ("dqn --world.sticky 0", "dqn on CartPole: --world.sticky is for Atari games"),
    ],
)
def test_flags_that_a_run_would_refuse_are_refused_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], agent: str, message: str
) -> None:
    refuse_wrong_flags([job(tmp_path, agent.split()[0], seed, "CartPole") for seed in (1, 2)])
    with pytest.raises(ConfigError, match=message):
        refuse_wrong_flags([job(tmp_path, agent, 1, "CartPole")])
    assert capsys.readouterr().out == ""


def test_the_last_seed_is_one_that_a_run_can_have() -> None:
    assert list(seeds_from(2**63 - 2, 2)) == [2**63 - 2, 2**63 - 1]
    with pytest.raises(ConfigError, match="seeds are at most 9223372036854775807"):
        seeds_from(2**63 - 1, 2)


def test_a_quotation_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="No closing quotation"):
        parse_agent('ppo "')


def test_only_flags_that_make_another_agent_are_those_of_the_user() -> None:
    command = ["python", "-m", "agents.sb3", "--algo", "dqn", "--env", "Pong", "--seed", "1"]
    command += ["--total-minutes", "30", "--wandb.mode", "offline"]
    assert user_flags(command) == []
    assert user_flags([*command, "--n_step=1", "--world.sticky", "0.0"]) == [
        "--n-step 1",
        "--world.sticky 0.0",
    ]


def test_runs_get_the_labels_of_the_command_that_makes_them(tmp_path: Path) -> None:
    labels = WandbConfig("offline", project="lab", entity="me", tags=("one", "two"), notes="why")
    words = Job(parse_agent("dqn --n-step 1"), "Pong", 1, None, tmp_path, labels).command()
    text = " ".join(words)
    assert text.endswith("--wandb.project lab --wandb.entity me --wandb.notes why --wandb.tags one two --n-step 1")
    assert "--wandb.project" not in job(tmp_path).command()  # the run looks for it itself
    assert user_flags(words) == ["--n-step 1"]


def test_finished_run_is_found_only_for_the_same_agent_seed_minutes_and_flags(tmp_path: Path) -> None:
    path = make_run(tmp_path, "dqn", 1, minutes=20.0)
    make_run(tmp_path, "dqn", 2, minutes=20.0, status="interrupted")
    make_run(tmp_path, "dqn", 3, minutes=20.0, status=None)
    (tmp_path / "dqn__Pong__1__notes").mkdir()
    assert job(tmp_path).finished() == path
    for other in (
        job(tmp_path, seed=2),
        job(tmp_path, seed=3),
        job(tmp_path, "sb3:dqn"),
        job(tmp_path, "dqn --n-step 1"),
        job(tmp_path, minutes=30.0),
        job(tmp_path, minutes=None),
        job(tmp_path, env="Breakout"),
    ):
        assert other.finished() is None


def test_damaged_runs_are_named_once_and_passed_over(tmp_path: Path) -> None:
    good, damaged = make_run(tmp_path, "dqn", 1, minutes=20.0), make_run(tmp_path, "dqn", 2, minutes=20.0)
    (damaged / "result.json").write_text("{")
    (tmp_path / "dqn__Pong__1__notes").mkdir()
    jobs = [job(tmp_path, seed=seed) for seed in (1, 2, 2)]
    assert [found.finished() for found in jobs] == [good, None, None]
    (sentence,) = damaged_runs(jobs)
    assert sentence.startswith(f"passed over, and left as it is: {damaged / 'result.json'} is damaged")


@pytest.mark.parametrize("changes", [{"status": "failed"}, {"status": "finished"}])
def test_only_stopped_runs_are_continued(tmp_path: Path, changes: dict[str, Any]) -> None:
    stopped_run(tmp_path, **changes)
    assert job(tmp_path).resumable() is None


def test_older_spellings_of_flags_make_no_other_agent() -> None:
    old = ["python -m agents.ppo", "--normalise-obs", "--lstm-units", "8", "--env", "CartPole"]
    assert user_flags(old) == user_flags(["--lstm-units", "8", "--normalize-obs"])
