"""A study as a self-contained HTML page: figures, parallel coordinates whose lines name their trials, all trials."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from agents.reports.html import STYLE, table
from agents.reports.sweep import StudyRecord, columns, in_words, sentence
from agents.reports.sweep import table as rows_of_text
from agents.reports.sweep_figure import axes_of, heights_of
from rl_gen_lab.explain.page import data_url
from rl_gen_lab.runs.files import replace_file

WIDTH, HEIGHT, MARGIN = 150, 320, 30  # of the coordinates: between two axes, of an axis, around them [pixels]
OWN_STYLE = """
svg{max-width:100%;height:auto;font:11px system-ui,sans-serif}
svg polyline{fill:none;stroke-width:1.5;opacity:.65}svg polyline:hover{stroke-width:5;opacity:1}
"""
CAPTIONS = {"history": "Scores", "curves": "Scores by steps", "importance": "Importance of the settings"}


def write_page(study: StudyRecord, figures: Sequence[Path], file: Path, command: str) -> None:
    """Write the page. figures: PNG files, embedded; command: that of the best settings. Raises: SaveError."""
    parts = [f"<h1>{html.escape(study.name)}</h1>", f"<p class=muted>{html.escape(study.command)}</p>"]
    parts.append(f"<p>{html.escape(sentence(study))}.</p>")
    if study.best is not None:
        parts.append(f"<p class=note>Best settings: <code>{html.escape(command)}</code></p>")
        parts.append(
            f"<h2>Parallel coordinates</h2><p class=muted>A line is a trial: point at it.</p>{coordinates(study)}"
        )
    for figure in figures:
        if figure.stem in CAPTIONS:
            parts.append(
                f'<h2>{CAPTIONS[figure.stem]}</h2><img alt="{figure.stem}" src="{data_url(figure, "image/png")}">'
            )
    parts.append(f"<h2>Trials</h2>{table(columns(study), rows_of_text(study))}")
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(study.name)}</title>"
        f"<style>{STYLE}{OWN_STYLE}</style>\n" + "\n".join(parts) + "</html>\n"
    )
    replace_file(file, lambda new: new.write_text(text, encoding="utf-8"))


def coordinates(study: StudyRecord) -> str:
    """Return parallel coordinates as SVG; each line has its trial's score and settings as its title."""
    axes, trials = axes_of(study)

    def y(height: float) -> float:
        return MARGIN + (1 - height) * HEIGHT

    lines = []
    for rank, trial in enumerate(trials):
        best = rank == len(trials) - 1
        shade = rank / max(len(trials) - 1, 1)
        color = "#D55E00" if best else f"hsl(205 70% {80 - 50 * shade:.0f}%)"
        points = " ".join(f"{MARGIN + WIDTH * x},{y(h):.1f}" for x, h in enumerate(heights_of(axes, trial)))
        words = ", ".join(f"{name} {in_words(trial.settings[name])}" for name in study.settings)
        title = html.escape(f"trial {trial.number}: {trial.score:.4g}; {words}")
        lines.append(f'<polyline points="{points}" stroke="{color}"><title>{title}</title></polyline>')
    for x, axis in enumerate(axes):
        left = MARGIN + WIDTH * x
        lines.append(f'<line x1="{left}" x2="{left}" y1="{MARGIN}" y2="{MARGIN + HEIGHT}" stroke="#333"/>')
        lines.append(f'<text x="{left}" y="{MARGIN - 12}" text-anchor="start">{html.escape(axis.name)}</text>')
        for height, word in axis.ticks:
            lines.append(f'<text x="{left + 4}" y="{y(height) + 4:.1f}">{html.escape(word)}</text>')
    width, height_of_all = MARGIN + WIDTH * len(axes), HEIGHT + 2 * MARGIN
    return f'<svg viewBox="0 0 {width} {height_of_all}" width="{width}">{"".join(lines)}</svg>'
