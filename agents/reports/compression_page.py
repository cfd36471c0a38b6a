"""The ledger of a compression as one self-contained HTML page, with its figure embedded."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from agents.reports import compression
from agents.reports.html import STYLE, table
from rl_gen_lab.runs.files import replace_file
from rl_gen_lab.runs.folder import RunFolder

PAGE = "ledger.html"
NOTE = (
    "smaller: the float32 parameters of one network over the bytes of the file; at least: the lower end of the"
    " one-sided 95 % interval; order-0: the entropy of the whole numbers; Huffman, relative indices, xz: bytes of other"
    " coders"
)


def write(run: RunFolder) -> Path:
    """Write the page of a finished compression into its folder and return it. Raises: RunDataError, SaveError."""
    rows = compression.rows_of(run, run.path.name)
    picture = io.BytesIO()
    compression.draw(rows).savefig(picture, format="png")
    source = base64.b64encode(picture.getvalue()).decode("ascii")
    title = html.escape(": ".join(compression.title_of(rows)))
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>Score against bytes</h1><p>{title}</p>"
        f"<img alt='score against bytes' src='data:image/png;base64,{source}'>"
        f"{table(compression.HEAD, compression.cells(rows))}<p class=muted>{html.escape(NOTE)}</p></html>"
    )
    path = run.path / PAGE
    replace_file(path, lambda file: file.write_text(page, encoding="utf-8"))
    return path
