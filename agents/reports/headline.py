"""The short table of a README: our agent and Stable-Baselines3's at the same task, a row each.

results/NAME.toml names the rows, each as "CSV environment agent", with the record (`what`) where there are several:

    rows = ["pong ALE/Pong-v5 dqn make pong", "classic CartPole-v1 ppo"]
"""

from pathlib import Path

from agents.reports.benchmark import COUNTERPARTS
from agents.reports.format import interval, markdown
from agents.reports.recorded_runs import by_seed, groups, read_runs, score
from agents.reports.store import ResultsError, Row
from agents.reports.tables import median_of
from rl_gen_lab.cli.errors import suggest
from rl_gen_lab.cli.regular_file import read_toml, reason_of

MAX_ROWS = 8
HEAD = ["task", "ours", "Stable-Baselines3", "minutes, ours / SB3"]


def headline(file: Path) -> str:
    """Format the table whose rows a TOML file names.

    Args:
        file: NAME.toml beside the CSVs; its suffix is not looked at.

    Raises:
        ResultsError: the TOML file or one of the CSVs is missing or broken, or a row has no unambiguous runs.
    """
    path = file.with_suffix(".toml")
    lines, seeds = zip(*(_line(path, name) for name in _row_names(path)), strict=True)
    if all(len(set(of_row)) == 1 for of_row in seeds):  # of both sides the same
        return markdown([*HEAD, "seeds"], [[*line, of_row[0]] for line, of_row in zip(lines, seeds, strict=True)])
    cells = [[*line, " / ".join(of_row)] for line, of_row in zip(lines, seeds, strict=True)]
    return markdown([*HEAD, "seeds, ours / SB3"], cells)


def _row_names(path: Path) -> list[str]:
    try:
        names = read_toml(path).get("rows")
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot read {path}: {reason_of(error)}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) and len(name.split()) >= 3 for name in names):
        raise ResultsError(f'{path}: rows must be a list of texts like "classic CartPole-v1 ppo"')
    if not 0 < len(names) <= MAX_ROWS:
        raise ResultsError(f"{path}: rows must name 1 to {MAX_ROWS} rows, not {len(names)}")
    return names


def _line(path: Path, name: str) -> tuple[list[str], list[str]]:
    """Return the cells of a row, and the seeds of each side."""
    stem, env_id, agent, *_ = name.split(maxsplit=3)
    rows = read_runs(path.with_name(f"{stem}.csv"))
    ours = _runs_of(path, name, rows)
    same_task = [row for row in rows if row["fingerprint"] == ours[0]["fingerprint"]]
    theirs = [row for row in same_task if row["agent"] == COUNTERPARTS.get(agent)]
    same_budget = [row for row in theirs if row["what"] == ours[0]["what"]]
    theirs = same_budget or theirs
    if len(groups(theirs, "what")) > 1:
        raise ResultsError(f"{path}: '{name}': {stem}.csv has several records of {theirs[0]['agent']} there")
    sides = [side for side in (ours, theirs) if side]
    seeds = [" ".join(row["seed"] for row in by_seed(side)) for side in sides]
    cells = [
        env_id,
        f"{agent} {interval(score(ours))}",
        f"{theirs[0]['agent'].removeprefix('sb3_')} {interval(score(theirs))}" if theirs else "-",
        " / ".join(median_of(side, "minutes", 1) for side in sides),
    ]
    return cells, seeds


def _runs_of(path: Path, name: str, rows: list[Row]) -> list[Row]:
    """Return the runs that a row names. Raises: ResultsError when there are none, or several records of them."""
    stem, env_id, agent, *what = name.split(maxsplit=3)
    records = set(what) or {row["what"] for row in rows}
    runs = [row for row in rows if (row["env_id"], row["agent"]) == (env_id, agent) and row["what"] in records]
    if not runs:
        recorded = {f"{stem} {row['env_id']} {row['agent']}" for row in rows}
        raise ResultsError(f"{path}: no runs of '{name}'.{suggest(name, recorded)}")
    if len(groups(runs, "fingerprint", "what")) > 1:
        names = " or ".join(sorted({f'"{stem} {env_id} {agent} {row["what"]}"' for row in runs}))
        raise ResultsError(f"{path}: '{name}': {stem}.csv has several records of {agent} there; write {names}")
    return runs
