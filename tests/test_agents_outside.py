"""Agents inside and outside their dreams: rows, ranks, and agents that have no dream."""

from __future__ import annotations

import csv
from pathlib import Path

import latent_runs
import pytest

from agents import outside, play, ppo
from rl_gen_lab.data.transitions import load_transitions

WORDS = ["--num-envs", "2", "--rollout-steps", "8", "--minibatch-size", "16", "--wandb.mode", "disabled"]
EVAL = ["--eval.episodes", "1", "--eval.final-episodes", "1"]


def trained(path: Path, *words: str) -> str:
    ppo.main([*words, "--total-env-steps", "32", "--runs-dir", str(path), *WORDS, *EVAL])
    (run,) = path.iterdir()
    return str(run)


def test_an_agent_is_played_in_its_dreams_and_in_the_game(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path / "runs", "--env", f"dream:{latent_runs.dream_run('vq-vae').path}")
    outside.main([run, "--episodes", "1", "--max-steps", "30", "--results-dir", str(tmp_path)])
    (row,) = csv.DictReader((tmp_path / "dreams.csv").read_text().splitlines())
    assert row["game"] == "ALE/Pong-v5" and row["run"] == Path(run).name and float(row["return_outside"]) <= 0
    assert "inside" in capsys.readouterr().out


def test_an_agent_of_dreams_records_its_play_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path / "runs", "--env", f"dream:{latent_runs.dream_run('vq-vae').path}")
    words = ["--scenes", str(tmp_path / "play"), "--frames", "20", "--every", "2", "--transitions"]
    play.main([run, "--outside", *words, "--interventions", "0", "--random-episodes", "0.3"])
    found = load_transitions(tmp_path / "play")
    assert found.steps("train") >= 30 and "sticky 0.0" in found.task
    assert "outside: ALE/Pong-v5" in capsys.readouterr().out


def test_an_agent_without_dreams_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path / "runs", "--env", "CartPole")
    with pytest.raises(SystemExit):
        outside.main([run, "--results-dir", str(tmp_path)])
    assert "was not trained in dreams" in capsys.readouterr().err
