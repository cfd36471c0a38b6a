"""Numbers, times and tables as text: the same wording in every report."""

import math
from collections.abc import Sequence

import numpy as np

from agents.reports.statistics import Estimate, median_of_times
from rl_gen_lab.cli.wording import count


def number(value: float | None, digits: int = 1) -> str:
    """Format a number: "1,234.5", "-" where it is unknown, "never" for an infinite time."""
    if value is None or math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else f"{value:,.{digits}f}"


def interval(estimate: Estimate | None) -> str:
    """Format an estimate: "19.8 [19.1, 20.3]"."""
    return "no final evaluation" if estimate is None else with_range(estimate.value, estimate.low, estimate.high)


def with_range(value: float, low: float, high: float, spec: str = ".1f") -> str:
    """Format a number and the ends of its interval or range, each by the format `spec`."""
    return f"{value:{spec}} [{low:{spec}}, {high:{spec}}]"


def duration(minutes: float) -> str:
    """Format a time: "20 s" below a minute, "49.6 min", "never" for infinity."""
    if math.isinf(minutes):
        return "never"
    return f"{60 * minutes:.0f} s" if minutes < 1 else f"{minutes:.1f} min"


def median(values: Sequence[float | None], digits: int = 0) -> str:
    """Format the median of the known values; "-" where none is known."""
    known = [value for value in values if value is not None]
    return number(float(np.median(known)), digits) if known else "-"


def median_and_range(values: Sequence[float | None], digits: int = 0) -> str:
    """Format median and range of the known values: "812 (640 to 990)"."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    low, high = number(float(min(known)), digits), number(float(max(known)), digits)
    return low if low == high else f"{median(known, digits)} ({low} to {high})"


def time_to_score(minutes: Sequence[float], steps: Sequence[float]) -> str:
    """Format when several runs reached a score: median, how many did, and the time of each.

    Runs that never reached it count as infinitely late, so that a lucky one does not stand for all.

    Args:
        minutes: of each run in the order of their seeds; infinite for one that never reached the score.
        steps: agent steps likewise.

    >>> time_to_score([0.5, 1.5, math.inf], [1000, 3000, math.inf])
    '1.5 min, 3,000 steps (2 of 3 runs, by seed: 30 s, 1.5 min, never)'
    """
    reached = sum(math.isfinite(value) for value in minutes)
    runs = f"{reached} of {count(len(minutes), 'run')}"
    middle = median_of_times(minutes)
    if math.isinf(middle):
        return f"not reached ({runs})"
    by_seed = f", by seed: {', '.join(map(duration, minutes))}" if len(minutes) > 1 else ""
    return f"{duration(middle)}, {median_of_times(steps):,.0f} steps ({runs}{by_seed})"


def metrics_to_text(metrics: dict[str, float]) -> str:
    """Write metrics into a cell of a CSV.

    >>> metrics_to_text({"f1": 0.5, "f1/a ball": 1.0})
    'f1=0.5 f1/a_ball=1'
    """
    return " ".join(f"{name.replace(' ', '_')}={value:.6g}" for name, value in metrics.items())


def metrics_from_text(text: str) -> dict[str, float]:
    """Read the metrics in a cell of a CSV, as `metrics_to_text` writes them."""
    pairs = (part.rpartition("=") for part in text.split())
    return {name: float(value) for name, _, value in pairs}


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table; line breaks in a cell become spaces."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = ([cell.strip().replace("\n", " ").replace("|", "\\|") for cell in line] for line in lines)
    return "".join("| " + " | ".join(line) + " |\n" for line in cells)
