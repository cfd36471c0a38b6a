"""A comparison as a self-contained HTML page: images and videos are embedded."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

from agents.reports.comparison import Comparison
from agents.reports.comparison_tables import run_table, score_table, verdicts
from agents.reports.curves import THRESHOLD_EPISODES
from rl_gen_lab.explain.page import data_url

LARGEST_VIDEO_BYTES = 8_000_000
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:1180px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .5rem}img{max-width:100%}
.table{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #ddd;vertical-align:top}
th{background:#f6f6f6}
td{white-space:nowrap}td.long{white-space:normal;min-width:8rem}
.muted{color:#555}.note{background:#fff7e0;padding:.6rem 1rem}
.videos{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:300px}video{width:100%;background:#000}
figcaption{font-size:13px;color:#555;overflow-wrap:anywhere}code{font-size:12px}
"""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML, its text escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = ""
    for row in rows:
        cells = (f"<td{' class=long' if len(cell) > 24 else ''}>{html.escape(cell)}</td>" for cell in row)
        body += f"<tr>{''.join(cells)}</tr>\n"
    return f"<div class=table><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def _list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _videos(comparison: Comparison) -> str:
    """Format the newest video of each run, or a line that says why there is none."""
    figures = []
    for group in comparison.groups:
        for run in group.runs:
            found = (run.folder / "videos").glob("*.mp4")
            own = [file for file in found if file.is_file() and not file.is_symlink()]  # not what lies elsewhere
            files = sorted(own, key=lambda file: (file.stat().st_mtime, file.name))
            caption = html.escape(f"{group.label}, seed {run.seed}: " + (files[-1].name if files else "no video"))
            video = ""
            if files and files[-1].stat().st_size > LARGEST_VIDEO_BYTES:
                caption += f" is too large to embed; it is in {html.escape(run.name)}/videos"
            elif files:
                source = data_url(files[-1], "video/mp4")
                video = f'<video controls loop muted preload=metadata src="{source}"></video>'
            figures.append(f"<figure>{video}<figcaption>{caption}</figcaption></figure>")
    return f"<div class=videos>{''.join(figures)}</div>"


def write_page(comparison: Comparison, figure: Path, file: Path) -> None:
    """Write a single HTML file without scripts or links to other files.

    Args:
        comparison: the contents.
        figure: the PNG of `write_figure`.
        file: the page.
    """
    title = f"{comparison.env_id}: {' vs '.join(group.label for group in comparison.groups)}"
    task = comparison.fingerprint
    fields = [[str(key), str(value)] for key, value in (task.get("fields") or {}).items()]
    versions = sorted({json.dumps(r.config.get("versions") or {}) for g in comparison.groups for r in g.runs})
    notes = f"<div class=note><b>Read with care</b>{_list(comparison.caveats)}</div>" if comparison.caveats else ""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class=muted>{html.escape(comparison.created)} · task {html.escape(str(task.get("text")))}
· fingerprint <code>{html.escape(str(task.get("hash")))}</code></p>
{_list(verdicts(comparison))}{notes}
<h2>Scores</h2>{table(*score_table(comparison))}
<p class=muted>IQM: interquartile mean of all episodes of the final evaluations (of the agent that a run
kept, on seeds not used before), returns unclipped. Intervals: percentile bootstrap; runs are resampled,
then episodes within each drawn run; a single run can only be resampled over episodes. With fewer than
five runs read an interval as a lower bound of the uncertainty. A score counts as reached when evaluations
with at least {THRESHOLD_EPISODES} episodes average it; median over runs, how many reached it, and the
time of each seed. Speed, memory, steps and minutes: median over runs and range.</p>
<h2>Learning curves</h2><img alt="Learning curves by agent steps and by wall-clock minutes, and final scores"
src="{data_url(figure, "image/png")}">
<p class=muted>Thick lines: interquartile mean over runs where all runs have data (a run that stopped
because it had solved the task keeps its last value); thin lines: single runs; bands: 95 % bootstrap
interval over runs (for one run: normal interval over the episodes of each point). Dotted: scores
that the table times.</p>
<h2>Agents playing</h2>{_videos(comparison)}
<h2>Runs</h2>{table(*run_table(comparison))}
<h2>The task</h2>{table(["field", "value"], fields)}
<h2>Versions</h2>{_list(versions)}
</body></html>
"""
    file.write_text(page, encoding="utf-8", errors="replace")  # names of folders may be no text
