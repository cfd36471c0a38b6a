"""A compression from its first row to its ledger: carried out, interrupted in one line, written down."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.compression.measured import Row
from rl_gen_lab.compression.pipeline import Pipeline
from rl_gen_lab.compression.resuming import LEDGER
from rl_gen_lab.runs.ending import can_resume, failure, keep_result
from rl_gen_lab.runs.files import replace_file
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED, Interrupt
from rl_gen_lab.tracking.tracker import Tracker


def carry_out(pipeline: Pipeline, bases: Mapping[str, Callable[[], Row]], tracker: Tracker, module: str) -> list[Row]:
    """Run what is left of a recipe, and write ledger and result; return the ledger.

    bases: measure what is compressed, the rows of stage 0 by their kind; module: of the command, for the line that says
    how to go on. Raises: UserError; SystemExit 130 after Ctrl-C or SIGTERM, with all but the last segment of updates
    saved.
    """
    run = pipeline.run_folder
    with tracker, Interrupt(print, at_once=lambda: True):
        tracker.print_dashboard_hint()
        pipeline.log = tracker.log
        try:
            for kind, measure in list(bases.items())[len(pipeline.rows) :]:
                pipeline.save()  # something to go on with, should the base be interrupted
                row = measure()
                print(f"{kind}: {row['bytes']:,} bytes, {pipeline.objective.in_words(row)}", flush=True)
                about: Row = {"stage": 0, "kind": kind, "settings": ""}
                pipeline.rows.append(about | row)
            pipeline.run()
        except KeyboardInterrupt:
            keep_result(run, {"status": "interrupted"}, print)
            _say_how_to_resume(f"interrupted; {pipeline.way_on}", run, module)
            raise SystemExit(EXIT_INTERRUPTED) from None
        except UserError as error:
            keep_result(run, {"status": "failed"} | failure(error), print)
            tracker.alert_of(error)
            if can_resume(run, error):
                _say_how_to_resume(f"not finished; {pipeline.way_on}", run, module)
            raise
        rows = with_ratios(pipeline.rows)
        replace_file(run.path / LEDGER, lambda path: _write(path, rows))
        run.write_result({"status": "finished", "ledger": rows})
        cells = [[None if value == "" else value for value in row.values()] for row in rows]  # W&B: one type a column
        tracker.table("ledger", list(rows[0]), cells)
    return rows


def with_ratios(rows: list[Row]) -> list[Row]:
    """Return the rows with the same columns, and how many times smaller each file is than the network as it was.

    `one_network_bytes` of the first row is the base where several networks decide together; their sum the other one.
    """
    first = rows[0]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    found = []
    for row in rows:
        ratios: Row = {
            "ratio": round(float(first.get("one_network_bytes", first["bytes"])) / float(row["bytes"]), 2),
            "ratio_all_networks": round(float(first["bytes"]) / float(row["bytes"]), 2),
        }
        found.append({column: row.get(column, "") for column in columns} | ratios)
    return found


def describe(rows: list[Row], run: RunFolder, read_by: str, *more: str | Path) -> str:
    """Return the last lines of a compression: where the ledger is, and how to use a file."""
    smallest = min((row for row in rows if row["stage"]), key=lambda row: float(row["bytes"]))
    file = run.path / f"stage{smallest['stage']}_{smallest['kind']}.rlz"
    return f"{run.shown(run.path / LEDGER)}\nthe smallest file: {shell(python(), *read_by.split(), file, *more)}"


def _say_how_to_resume(state: str, run: RunFolder, module: str) -> None:
    print(f"{state}. Resume with: {shell(python(), '-m', module, '--resume', run.path)}", flush=True)


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
