"""Provenance says how a measurement is repeated, not where one machine keeps its files."""

import sys
import time

import pytest

from agents.reports import provenance
from agents.reports.provenance import portable, provenance_of_command, provenance_of_run


@pytest.mark.parametrize(
    "flag", ["--runs-dir /somewhere/else", "--runs_dir=/somewhere/else", "--results-dir elsewhere"]
)
def test_a_recorded_command_does_not_name_a_folder_of_one_machine(flag: str) -> None:
    words = ["python -m agents.dqn", "--env", "CartPole", *flag.split(" "), "--seed", "2"]
    assert portable(words) == "python -m agents.dqn --env CartPole --seed 2"


def test_absolute_paths_become_runs_of_the_checkout() -> None:
    words = [
        "python -m agents.observation",
        "/data/me/dqn__Pong__1",
        "--sources",
        "objects",
        "detector:/data/detect_ssd/",
    ]
    assert (
        portable(words) == "python -m agents.observation runs/dqn__Pong__1 --sources objects detector:runs/detect_ssd"
    )
    kept = ["python -m agents.dqn", "--init-backbone", "runs/a", "--wandb.base-url", "https://example.org/here"]
    assert portable(kept) == " ".join(kept)


def test_a_measurement_says_where_when_and_how_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["speed.py", "--env", "Pong"])
    row = provenance_of_command("agents.speed")
    assert list(row) == ["hardware", "commit", "date", "command"]
    assert row["command"] == "python -m agents.speed --env Pong" and " core" in row["hardware"]
    assert row["date"] == time.strftime("%Y-%m-%d")


def test_the_commit_is_that_before_the_first_csv_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(["abc", "abc-dirty"])
    provenance._commit.cache_clear()
    monkeypatch.setattr(provenance, "git_commit", lambda: next(commits))
    assert [provenance_of_command("agents.speed")["commit"] for _ in range(2)] == ["abc", "abc"]
    provenance._commit.cache_clear()


def test_a_run_gives_its_provenance_from_its_config() -> None:
    config = {
        "hardware": {"cpu": "X", "cores": 2},
        "versions": {"torch": "2", "numpy": "1"},
        "commit": None,
        "started": "2026-01-02T03:04:05+0000",
        "command": ["python -m agents.dqn", "--runs-dir", "there", "--seed", "1"],
    }
    assert provenance_of_run(config) == {
        "hardware": "X, 2 cores, no GPU",
        "versions": "torch=2 numpy=1",
        "commit": "",
        "date": "2026-01-02",
        "command": "python -m agents.dqn --seed 1",
    }
    assert set(provenance_of_run({}).values()) == {"unknown CPU, no GPU", ""}
