"""The figure of a comparison shows every agent."""

from pathlib import Path

from PIL import Image
from synthetic_runs import make_run, three_runs

from agents.reports.comparison import compare_runs
from agents.reports.figure import COLORS, write_figure
from agents.reports.run_record import load_run


def test_figure_is_large_and_shows_a_color_per_agent(tmp_path: Path) -> None:
    write_figure(three_runs(tmp_path / "runs"), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.width >= 1500
        colors = {"#{:02X}{:02X}{:02X}".format(*color) for _, color in image.convert("RGB").getcolors(1 << 24) or []}  # type: ignore[misc]
    assert set(COLORS[:2]) <= colors


def test_runs_without_any_curve_still_get_a_figure(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, steps=800, evaluations=0, status=None))
    write_figure(compare_runs([run]), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.width >= 1500
