"""The command that simulates plans: rows, records, refusals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agents import scale_plan
from agents.reports import scale
from agents.scale_plan import Config
from rl_gen_lab.cli.errors import ConfigError

QUICK = ["--warm-up-seconds", "2", "--seconds", "4"]


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "scale_plan.csv").read_text().splitlines()))


def test_a_row_for_each_plan_replaced_by_the_same_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*QUICK, "--results-dir", str(tmp_path), "--spread", "0"]
    for _ in range(2):
        scale_plan.main([*words, "--actors", "4", "100", "--update-ms", "250", "50"])
    first, second = rows(tmp_path)
    assert (first["actors"], first["update_ms"], first["batch_chunks"]) == ("4", "250.0", "8")
    assert (second["actors"], second["update_ms"], second["batch_chunks"]) == ("100", "50.0", "64")
    # 8 x 64 steps each 250 ms at most, 64 x 64 each 50 ms: the second learner is too slow for 100,000 steps/s.
    assert float(second["used_per_second"]) == pytest.approx(81_920, rel=0.03) and second["bottleneck"] == "learner"
    assert float(first["used_per_second"]) == pytest.approx(2_048, rel=0.15)
    # 0.1 s between broadcasts, but not more of them than updates: every 250 ms.
    assert float(first["to_actors_mb"]) == pytest.approx(4 * 0.850094 * 4, rel=0.1)
    assert float(second["to_hosts_mb"]) == pytest.approx(7 * 0.850094 * 10, rel=0.01)
    assert float(second["raw_mb"]) == pytest.approx(707.2) and first["command"].startswith(
        "python -m agents.scale_plan"
    )
    assert "learner" in capsys.readouterr().out


def test_seeds_reproduce_and_are_recorded(tmp_path: Path) -> None:
    for seed in ("1", "1", "2"):
        scale_plan.main([*QUICK, "--results-dir", str(tmp_path), "--actors", "30", "--seed", seed])
    first, second = rows(tmp_path)
    assert (first["seed"], second["seed"]) == ("1", "2") and first["used_per_second"] != second["used_per_second"]
    before = first
    scale_plan.main([*QUICK, "--results-dir", str(tmp_path), "--actors", "30", "--seed", "1"])
    assert rows(tmp_path)[0]["used_per_second"] == before["used_per_second"]


def test_the_figure_is_drawn_from_the_rows(tmp_path: Path) -> None:
    words = [*QUICK, "--results-dir", str(tmp_path)]
    scale_plan.main([*words, "--what", scale.ACTORS, "--actors", "2", "8"])
    figure = tmp_path / "plan.png"
    scale_plan.main(
        [*words, "--what", scale.QUEUE, "--actors", "8", "--queue-batches", "1", "4", "--figure", str(figure)]
    )
    assert figure.stat().st_size > 10_000


def test_flags_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"--update-ms has 2 numbers for 3 plans: give 1 or 3"):
        Config(actors=(1, 2, 3), update_ms=(1.0, 2.0))
    with pytest.raises(ConfigError, match=r"--queue-batches needs a number, or one for each plan"):
        Config(queue_batches=())
    with pytest.raises(ConfigError, match=r"plan 2 has some .* at most 3,000,000 are simulated: --seconds"):
        Config(actors=(1, 100_000), chunk_steps=(1,))


def test_batches_follow_the_number_of_actors() -> None:
    config = Config(actors=(1, 8, 31, 32, 100, 511, 512, 2_000))
    assert [config.plan(number).batch_chunks for number in range(8)] == [8, 8, 16, 32, 64, 256, 512, 512]
    assert config.plan(0).queue_chunks == 16
