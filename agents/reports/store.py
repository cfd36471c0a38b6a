"""The one place that reads and writes the CSVs of results/: rows are keyed by columns, writing is locked and atomic.

A kill or a full disk leaves the old file whole. Commands that record at the same time wait for each other.
"""

import csv
import fcntl
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rl_gen_lab.cli.errors import UserError, suggest
from rl_gen_lab.cli.regular_file import read_regular, reason_of
from rl_gen_lab.runs.files import replace_file, save_errors

MOST_BYTES = 2**26  # of a CSV or a document
Row = dict[str, str]
Table = tuple[list[str], list[Row]]  # column names and rows


class ResultsError(UserError):
    """A CSV of results, or a marker in a document, is missing or broken."""


def read_csv(file: Path) -> Table:
    """Read the column names and the rows of a CSV.

    Raises:
        ResultsError: no such file (with the nearest name), or one that cannot be read; a row with too many or too few
            cells.
    """
    if not file.exists():
        names = [other.stem for other in file.parent.glob("*.csv")]
        raise ResultsError(f"no results file {file}.{suggest(file.stem, names)}")
    try:
        text = read_regular(file, MOST_BYTES).decode("utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        columns, rows = list(reader.fieldnames or []), list(reader)
    except (OSError, ValueError, csv.Error) as error:  # a folder, bytes that are no text, an open quotation
        raise ResultsError(f"cannot read {file}: {reason_of(error)}") from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ResultsError(f"{file}: row {number} does not have one cell per column")
    return columns, rows


def write_csv(file: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Replace a whole CSV, made with its folder if absent. Raises: SaveError."""
    with _locked(file):
        _replace(file, columns, rows)


def upsert(
    file: Path,
    rows: Sequence[Mapping[str, object]],
    *,
    key: Sequence[str],
    sort: Sequence[str] = (),
    in_place: bool = False,
    read: Callable[[Path], Table] = read_csv,
) -> None:
    """Insert rows into a CSV, made if absent, in place of its rows with the same key.

    Args:
        file: the CSV.
        rows: at least one; all of the same columns, which are also the file's.
        key: columns that identify what a row records; several rows may share a key.
        sort: columns by which all rows are sorted, in the order of text (empty: new rows are appended).
        in_place: keys are unique, and a row takes the position of the one with its key.
        read: reader of the old rows, which may check more than `read_csv`.

    Raises:
        ResultsError: the file is broken, or has other columns.
        SaveError: it cannot be written.
    """
    columns = list(rows[0])
    new = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]

    def identity(row: Row) -> tuple[str, ...]:
        return tuple(row[name] for name in key)

    with _locked(file):
        old_columns, old = read(file) if file.exists() else (columns, [])
        if old_columns != columns:
            raise ResultsError(f"{file} has other columns than the rows to be recorded; record them in another file")
        if in_place:
            merged = list(({identity(row): row for row in old} | {identity(row): row for row in new}).values())
        else:
            replaced = {identity(row) for row in new}
            merged = [*(row for row in old if identity(row) not in replaced), *new]
        merged.sort(key=lambda row: [row[name] for name in sort])
        _replace(file, columns, merged)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the lock of a CSV's folder, which is made if absent. Raises: SaveError."""
    with save_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(file: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    def write(new: Path) -> None:
        with new.open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle:
            writer = csv.DictWriter(handle, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    replace_file(file, write)
