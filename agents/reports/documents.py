"""Documents with generated parts: tables and sentences between markers, and the figures that they show.

A part stands between `<!-- results:NAME -->` and `<!-- /results:NAME -->` and is made from results/NAME.csv; the forms
`NAME:sentence`, `NAME:ratios`, `NAME:suite`, `NAME:models`, `NAME:classic`, `NAME:files`, `NAME:audits`,
`NAME:outside`, `NAME:ledger`, `NAME:maps`, `NAME:stages`, `NAME:attacks`, `NAME:pictures`, `NAME:smallest`,
`NAME:studies`, `NAME:flow`, `NAME:traffic`, `NAME:lag` and `NAME:headline` give other parts than a table.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.reports import (
    attacks,
    audits,
    benchmark,
    benchmark_figure,
    classic,
    compression,
    explain,
    explain_stages,
    generator_files,
    lag,
    made_pictures,
    outside,
    scale,
    sweep,
    vision,
)
from agents.reports.headline import headline
from agents.reports.store import MOST_BYTES, ResultsError
from agents.reports.tables import sentence, speed_sentence, table
from rl_gen_lab.cli.regular_file import read_regular, reason_of

MARKER = re.compile(r"<!-- results:(?P<name>\S+) -->\n(?P<body>.*?)<!-- /results:(?P=name) -->", re.DOTALL)
OPENING = re.compile(r"<!-- results:(\S+) -->")
MOST_MARKERS = 1_000
# By form, the part that is made from a CSV; the second argument is the folder of the document.
FORMS: dict[str, Callable[[Path, Path], str]] = {
    "": lambda file, folder: table(file),
    "sentence": lambda file, folder: sentence(file),
    "ratios": lambda file, folder: speed_sentence(file),
    "suite": benchmark.section,
    "models": lambda file, folder: vision.section(file),
    "files": lambda file, folder: generator_files.section(file),
    "classic": lambda file, folder: classic.section(file),
    "audits": lambda file, folder: audits.section(file),
    "outside": lambda file, folder: outside.section(file),
    "ledger": compression.section,
    "maps": lambda file, folder: explain.section(file),
    "stages": lambda file, folder: explain_stages.section(file),
    "attacks": attacks.section,
    "pictures": lambda file, folder: made_pictures.section(file),
    "smallest": lambda file, folder: compression.smallest(file),
    "flow": lambda file, folder: scale.flow(file),
    "traffic": lambda file, folder: scale.traffic(file),
    "studies": lambda file, folder: sweep.section(file),
    "lag": lambda file, folder: lag.section(file),
    "headline": lambda file, folder: headline(file),
}


@contextmanager
def cell_errors(file: Path) -> Iterator[None]:
    """Turn what a column that is absent and a cell that is no number raise into ResultsError, numpy's overflow too."""
    try:
        with warnings.catch_warnings(action="error", category=RuntimeWarning):
            yield
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, ArithmeticError, RuntimeWarning) as error:
        reason = f": {error}" if "<class" not in str(error) else ""  # what a Decimal says is not for people
        raise ResultsError(f"{file} has a missing column or a cell that is not a number{reason}") from error


@dataclass(frozen=True)
class Document:
    """A Markdown file with markers, as it was read."""

    path: Path
    text: str
    # Folder of the CSVs.
    results_dir: Path

    @classmethod
    def read(cls, path: Path, results_dir: Path) -> "Document":
        """Read a document. Raises: ResultsError for what is no text, or a marker that is not closed."""
        try:
            text = read_regular(path, MOST_BYTES).decode("utf-8")
        except (OSError, ValueError) as error:
            raise ResultsError(f"cannot read {path}: {reason_of(error)}") from error
        if len(OPENING.findall(text)) > MOST_MARKERS:  # those without an end are searched for to the end of the text
            raise ResultsError(f"{path} has more than {MOST_MARKERS:,} markers")
        closed = [match["name"] for match in MARKER.finditer(text)]
        for name in OPENING.findall(text):
            if name not in closed:
                raise ResultsError(
                    f"{path}: the marker <!-- results:{name} --> is not closed by <!-- /results:{name} -->"
                )
        return cls(path, text, results_dir)

    def render(self, to_come: Path | None = None) -> tuple[str, list[str]]:
        """Return the text with every part made anew, and the names of those that changed.

        to_come: a CSV that may be absent still, whose parts are then left as they are.

        Raises:
            ResultsError: a marker's form is unknown, or its CSV is absent or broken.
        """
        stale = []

        def fill(match: re.Match[str]) -> str:
            name = match["name"]
            stem, _, form = name.partition(":")
            if form not in FORMS:
                known = ", ".join(f"NAME:{form}" if form else "NAME" for form in FORMS)
                raise ResultsError(f"{self.path}: unknown form in <!-- results:{name} -->; known: {known}")
            file = self.results_dir / f"{stem}.csv"
            if file == to_come and not file.exists():
                return match[0]
            with cell_errors(file):
                body = FORMS[form](file, self.path.parent)
            if body != match["body"]:
                stale.append(name)
            return f"<!-- results:{name} -->\n{body}<!-- /results:{name} -->"

        return MARKER.sub(fill, self.text), stale

    def benchmarks(self) -> list[Path]:
        """Return the CSVs of the benchmarks that the document shows."""
        names = [match["name"].partition(":") for match in MARKER.finditer(self.text)]
        return [self.results_dir / f"{stem}.csv" for stem, _, form in names if form == "suite"]


def stale_figures(benchmarks: list[Path]) -> list[Path]:
    """Return the CSVs of benchmarks whose figure is absent or shows other rows. Raises: ResultsError."""
    return [file for file in benchmarks if not benchmark_figure.is_current(file)]
