"""One self-contained HTML page of a run's explanations: pictures and films are embedded, nothing is loaded."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from rl_gen_lab.runs.files import replace_file
from rl_gen_lab.runs.reading import read_bytes

LARGEST_BYTES = 12_000_000  # of a film that is embedded
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}img,video{max-width:100%}
.table{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #ddd;white-space:nowrap}th{background:#f6f6f6}
.muted{color:#555}
"""


def heading(text: str) -> str:
    """Return a heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p class=muted>{html.escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, its text escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<div class=table><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def picture(file: Path, about: str) -> str:
    """Return a PNG file, embedded."""
    return f'<img alt="{html.escape(about)}" src="{data_url(file, "image/png")}">'


def film(file: Path) -> str:
    """Return an MP4 file, embedded, or where it is if it is large."""
    if file.stat().st_size > LARGEST_BYTES:
        return paragraph(f"the film is too large to embed: {file.name} in the folder videos")
    return f'<video controls loop muted preload=metadata src="{data_url(file, "video/mp4")}"></video>'


def write(file: Path, title: str, parts: Sequence[str]) -> Path:
    """Write a page of these parts, whole or not at all, and return it. Raises: SaveError."""
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>\n{''.join(parts)}</body></html>\n"
    )
    replace_file(file, lambda new: new.write_text(text, encoding="utf-8"))
    return file


def data_url(file: Path, kind: str) -> str:
    """Return a file as a URL that holds it. kind: its media type. Raises: CheckpointError."""
    return f"data:{kind};base64,{base64.b64encode(read_bytes(file)).decode('ascii')}"
