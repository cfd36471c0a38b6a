"""The folder of a comparison: figure, numbers and page."""

import json
import time
from pathlib import Path

from agents.reports.comparison import Comparison, to_json
from agents.reports.figure import write_figure
from agents.reports.html import write_page
from rl_gen_lab.runs.files import save_errors


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
        (folder / "comparison.json").write_text(json.dumps(to_json(comparison), indent=1) + "\n", encoding="utf-8")
        write_page(comparison, figure, folder / "index.html")
    return folder
