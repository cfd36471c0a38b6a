"""The folder of a comparison: figure, numbers and page."""

import time
from pathlib import Path

from agents.reports.comparison import Comparison, to_json
from agents.reports.figure import write_figure
from agents.reports.html import write_page
from rl_gen_lab.runs.files import save_errors, write_json


def write_comparison(comparison: Comparison, out: Path, env: str) -> Path:
    """Make `<out>/<env>__<time>/` with learning_curves.png, comparison.json and index.html; return the folder.

    Args:
        comparison: the contents.
        out: parent folder.
        env: short name of the environment.

    Raises: SaveError.
    """
    stem, number = f"{env.replace('/', '-')}__{time.strftime('%Y%m%d-%H%M%S')}", 1
    folder = out / stem
    while folder.exists():
        number += 1
        folder = out / f"{stem}-{number}"
    with save_errors(folder):
        folder.mkdir(parents=True)
        figure = folder / "learning_curves.png"
        write_figure(comparison, figure)
        write_json(folder / "comparison.json", to_json(comparison))
        write_page(comparison, figure, folder / "index.html")
    return folder
