"""Recorded results: a CSV per claim in results/, a row per run; the tables and figures of documents are made from them.

    python -m agents.results --record pong --what "Pong on 2 cores" runs/dqn__Pong__1__20260101-120000
    python -m agents.results --record vision --what "Pong, 5,000 frames" runs/RUN
    python -m agents.results --record generator_files --what "32 numbers" runs/RUN
    python -m agents.results --record audits --what "a world of pixels" runs/RUN
    python -m agents.results --record classic_features --what "package:digits" runs/RUN
    python -m agents.results --record compression --what "three bits" runs/RUN
    python -m agents.results --record explain --what "Pong, every method" runs/RUN
    python -m agents.results --record explain_stages --what "Pong, through training" runs/RUN
    python -m agents.results --record attacks --what "defended" runs/RUN
    python -m agents.results --record textures --what "grass, every method" runs/RUN
    python -m agents.results            # write tables and figures of README.md and the pages of docs/
    python -m agents.results --check    # exit code 1 when a table or a figure does not agree with the CSVs

A table stands between `<!-- results:NAME -->` and `<!-- /results:NAME -->` and comes from results/NAME.csv;
`NAME:sentence` describes its first agent in words; `NAME:suite` shows a benchmark: its figure (results/NAME.png), its
tables, and where Stable-Baselines3 scores higher; `NAME:models` shows vision models (runs of `rl_gen_lab.train`);
`NAME:ratios` says in words what `agents.speed` measured; `NAME:headline` is a short table whose rows results/NAME.toml
names. Runs of different task fingerprints are in separate tables and are never ranked together. A CSV with other
columns is shown as it is.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.reports import (
    attack_figure,
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
    recorded_runs,
    vision,
)
from agents.reports.documents import Document, cell_errors, stale_figures
from agents.reports.run_record import load_run
from agents.reports.store import ResultsError, Row
from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Ranged, Score
from rl_gen_lab.cli.wording import count
from rl_gen_lab.runs.folder import RunFolder

# Beside the folder of the CSVs; those that exist are written.
DOCUMENTS = (
    "README.md",
    *(
        f"docs/{page}.md"
        for page in (
            "results",
            "benchmark",
            "classic",
            "generators",
            "dreams",
            "compression",
            "explain",
            "attacks",
            "textures",
            "sweeps",
            "scale",
            "rollouts",
        )
    ),
)
# What `compress` measured: a row for each stage.
LEDGERS = ("compression", "compression_techniques", "compression_vision")
# What draws the figure of a record, beside its CSV.
FIGURES: dict[str, Callable[[Path], Path]] = {
    **dict.fromkeys(LEDGERS, compression.write_figure),
    "attacks": attack_figure.write_figure,
    "lag": lag.write_figure,
}
# Records that are not of a run's own result by name: of the files that `rl_gen_lab.codec
# compare` measured, of what `rl_gen_lab.audit` found, and of classic features.
OTHERS = {"generator_files": generator_files.row_of, "audits": audits.row_of, "classic_features": classic.row_of}


@dataclass(frozen=True)
class Options(Ranged):
    """Record runs in results/ and write the tables and figures of documents from there."""

    # Runs to record, together with --record.
    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    # Name of the CSV (without .csv) that gets a row per run; the row of a run recorded before is replaced.
    record: str | None = None
    # The claim that the runs stand for, in a few words.
    what: str = ""
    # Score whose steps and minutes are recorded (None: the highest one known for the environment).
    threshold: Score | None = None
    # Only check: exit code 1 when a table or a figure is stale.
    check: bool = False
    # Folder of the CSVs.
    results_dir: Path = Path("results")
    # Document that holds the tables (None: README.md and pages of docs/ beside the folder of the CSVs).
    readme: Path | None = None

    def __post_init__(self) -> None:
        """Refuse impossible combinations."""
        super().__post_init__()
        if bool(self.runs) != bool(self.record):
            raise ConfigError("--record NAME and run folders belong together")
        if self.record and not self.what:
            raise ConfigError('--record needs --what "the claim in a few words"')
        if self.record and self.check:
            raise ConfigError("--check changes nothing; leave out --record")


def row_of(folder: Path, what: str, threshold: float | None, record: str = "") -> Row:
    """Return the row of a run: of an agent, of a vision model, or what `OTHERS` has for that record.

    Raises: RunDataError, CheckpointError.
    """
    run = RunFolder.open(folder)
    if record in OTHERS:
        return OTHERS[record](run, what)
    if "fingerprint" in run.read_config() or "data" not in run.read_config():
        return recorded_runs.row_of(load_run(folder), what, threshold)
    return vision.row_of(run, what)


def rows_of(folder: Path, options: Options) -> list[Row]:
    """Return the rows of a run: of a compression a stage each, of an explanation a map, else what was measured.

    Raises: as `row_of`.
    """
    if options.record == "attacks":
        return attacks.rows_of(RunFolder.open(folder), options.what)
    if options.record == "explain":
        return explain.rows_of(RunFolder.open(folder), options.what)
    if options.record == "explain_stages":
        return explain_stages.rows_of(RunFolder.open(folder), options.what)
    if options.record in made_pictures.LEDGERS:
        return made_pictures.rows_of(RunFolder.open(folder), options.what)
    if options.record in LEDGERS:
        return compression.rows_of(RunFolder.open(folder), options.what)
    return [row_of(folder, options.what, options.threshold, options.record or "")]


def read_documents(options: Options) -> list[Document]:
    """Read the documents to be written. Raises: ResultsError when there are none, or one has an open marker."""
    root = Path(os.path.relpath(options.results_dir.resolve().parent))
    paths = [options.readme] if options.readme else [root / name for name in DOCUMENTS]
    documents = [Document.read(path, options.results_dir) for path in paths if path.is_file()]
    if not documents:
        raise ResultsError(f"no {paths[0]}; run this in the checkout or give --readme")
    return documents


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Record runs, then write or check the documents."""
    options = parse_flags(Options, argv, description=Options.__doc__)
    documents = read_documents(options)
    if options.record:
        rows = [row for folder in options.runs for row in rows_of(folder, options)]
        file = options.results_dir / f"{options.record}.csv"
        for document in documents:  # no row is written where a damaged CSV would keep it out of the documents
            document.render(to_come=file)
        recorded_runs.record(file, rows)
        print(f"{file}: {count(len(rows), 'row')} written")
        with cell_errors(file):
            if options.record in FIGURES:
                print(f"{FIGURES[options.record](file)} drawn")
    rendered = [(document, *document.render()) for document in documents]
    benchmarks = list(dict.fromkeys(file for document in documents for file in document.benchmarks()))
    late_figures = stale_figures(benchmarks)
    for file in benchmarks:
        print("".join(f"{line}\n" for line in benchmark.reasons_without_a_cell(file)), end="")
    if options.check:
        check(rendered, late_figures, options.results_dir)
        return
    for file in late_figures:
        print(f"{benchmark_figure.write_figure(file)} drawn")
    for document, text, stale in rendered:
        if stale:
            document.path.write_text(text, encoding="utf-8")
            print(f"{document.path}: wrote {', '.join(stale)}")


def check(rendered: list[tuple[Document, str, list[str]]], late_figures: list[Path], results_dir: Path) -> None:
    """Print whether each document agrees with the CSVs; exit code 1 if one does not."""
    for document, _, stale in rendered:
        figures = [file for file in late_figures if file in document.benchmarks()]
        late = [*stale, *(f"the figure of {file}" for file in figures)]
        if late:
            print(f"{document.path} is stale: {', '.join(late)}. Run: python -m agents.results")
        else:
            print(f"{document.path}: every table and figure agrees with {results_dir}")
    if late_figures or any(stale for _, _, stale in rendered):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
