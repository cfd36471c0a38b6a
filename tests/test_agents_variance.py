"""The variance lab as a command: what it writes, and which policies it takes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from agents import reinforce, variance
from agents.commands import cli
from agents.gradient_estimators import Quality
from rl_gen_lab.display import Display

TINY = [
    "--episodes", "3", "--batches", "3", "--truth-batches", "3", "--value-batches", "2", "--value-updates", "10",
    "--warm-up-updates", "2", "--wandb.mode", "disabled",
]  # fmt: skip


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_table_and_a_plot_are_written_for_every_estimator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variance.main([*TINY, "--out", str(tmp_path)])
    folder = only(tmp_path)
    assert folder.name.startswith("variance__CartPole__")
    with (folder / "variance.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(variance.DISCOUNTS) * (len(variance.BASELINES) + len(variance.LAMBDAS))
    for row in rows:
        assert float(row["variance"]) > 0 and float(row["bias"]) >= 0 and -1 <= float(row["cosine"]) <= 1
    # With lambda 1 the trace is the learned baseline.
    of = {(row["baseline"], row["discount"], row["lambda"]): row["variance"] for row in rows}
    assert float(of["gae", "0.99", "1"]) == pytest.approx(float(of["learned", "0.99", ""]), rel=1e-3)
    with Image.open(folder / "variance.png") as picture:
        assert picture.size[0] > 1_000
    assert "leave-one-out" in capsys.readouterr().out


def qualities(*flags: str) -> list[Quality]:
    config = cli(variance.Config, [*TINY, *flags])
    with Display("variance", 1, "batches") as display:
        return variance.measure(config, display)


def test_the_same_seed_measures_the_same_and_another_another() -> None:
    assert qualities() == qualities() != qualities("--seed", "2")


def test_the_policy_of_a_run_is_measured_and_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reinforce.main(
        ["--preset", "defaults", "--env", "CartPole", "--total-env-steps", "100", "--num-envs", "2", "--no-film",
         "--wandb.mode", "disabled", "--eval.every-env-steps", "0", "--eval.final-episodes", "1", "--normalise-obs",
         "--runs-dir", str(tmp_path / "runs")]
    )  # fmt: skip
    run = only(tmp_path / "runs")
    assert qualities("--run", str(run)) != qualities()
    for flags, said in (
        (["--run", str(run), "--env", "Acrobot"], "--env CartPole-v1"),
        (["--run", str(tmp_path / "nowhere")], "no run folder"),
        (["--batches", "1"], "batches"),
    ):
        with pytest.raises(SystemExit) as stopped:
            variance.main([*TINY, *flags, "--out", str(tmp_path / "never")])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err
