"""The figure of attacks: which rows make which line."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from test_agents_reports_attacks import ROWS, row, scored

from agents.reports.attack_figure import draw, points, write_figure
from agents.reports.attacks import COLUMNS
from agents.reports.store import write_csv


def test_the_lowest_attack_of_each_budget_and_the_control_are_lines_of_their_own() -> None:
    worst, control = points([*ROWS, row("pgd", "3", "flipped=1")])  # the last one without games
    assert worst == [(0.0, 16.0, 15.0, 17.0), (1.0, -20.0, -21.0, -19.0)]
    assert control == [(0.0, 16.0, 15.0, 17.0), (1.0, 14.0, 13.0, 15.0)]


def test_runs_of_other_pixels_or_steps_are_left_out_and_the_figure_is_written(tmp_path: Path) -> None:
    other = [row("none", "0", scored(1), when="random 25%", run="two/x"), row("pgd", "1", scored(1), run="two/y")]
    axes = draw([*ROWS, *other]).axes[0]
    assert len(axes.get_legend().get_texts()) == 2
    write_csv(tmp_path / "attacks.csv", COLUMNS, ROWS)
    with Image.open(write_figure(tmp_path / "attacks.csv")) as image:
        assert min(image.size) > 300
