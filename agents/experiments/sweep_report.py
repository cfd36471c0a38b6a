"""What a study leaves: best settings as command and preset, figures, a page, rows of the ledger, a run at W&B."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agents.experiments.confirm_file import write_confirmation
from agents.experiments.preset_file import FOUND_BY, best_command, preset_file, write_preset
from agents.experiments.study import SharedStudy
from agents.experiments.study_record import record_of
from agents.reports.store import upsert
from agents.reports.sweep import KEY, StudyRecord, columns, rows_of, sentence, table
from agents.reports.sweep_figure import write_figures
from agents.reports.sweep_page import write_page
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.cli.shell import python, shell, short
from rl_gen_lab.cli.wording import count
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker


def report(shared: SharedStudy, wandb: WandbConfig, preset: str | None = None, results_dir: Path | None = None) -> None:
    """Write all that is known of a study into its folder, and say where it is.

    preset: name of a preset that is written into configs too; results_dir: folder of sweeps.csv, where the trials are
    to be recorded. Raises: UserError.
    """
    study, sweep, folder = record_of(shared), shared.sweep, shared.folder
    print(sentence(study))
    if study.best is None:
        print("no trial is complete: there are no best settings")
        return
    best = best_command(sweep, study.best.settings)
    figures, page = write_figures(study, folder), folder / "study.html"
    write_page(study, figures, page, best)
    print(f"figures and page: {page}\nthe command with the best settings: {best}")
    if not sweep.plan.is_vision:
        about = (
            f"{FOUND_BY} {short(sweep.file)}: trial {study.best.number} of {len(study.trials)},"
            f" score {study.best.score:.4g} over seeds {' '.join(map(str, study.seeds))}."
        )
        files = [folder / "best.toml", *([preset_file(sweep, preset)] if preset else [])]
        for file in files:
            write_preset(file, sweep, study.best.settings, about)
            print(f"preset written: {short(file)}")
    confirmation = folder / "confirm.toml"
    write_confirmation(confirmation, sweep, study.of_state("complete"))
    words = [python(), "-m", "agents.sweep", confirmation, "--name", f"{study.name}_confirm"]
    print(f"the best again, with other seeds: {shell(*words)}")
    if results_dir is not None:
        file = results_dir / "sweeps.csv"
        upsert(file, rows_of(study), key=KEY, sort=("study",))
        print(f"{file}: {count(len(study.trials), 'row')} written")
    track(study, figures, folder, wandb)


def track(study: StudyRecord, figures: list[Path], folder: Path, config: WandbConfig) -> None:
    """Log a study as a W&B run of job type "sweep": scores, a table of all trials, figures. Raises: UserError."""
    run = RunFolder(folder)
    run.truncate_metrics(-1)  # of an earlier report of the same study
    tracker = Tracker.start(
        run,
        config,
        algo="sweep",
        env_id=study.name,
        seed=0,
        flat_config={"command": study.command, "settings": list(study.settings), "seeds": list(study.seeds)},
        fingerprint_hash=study.name,
        job_type="sweep",
    )
    with tracker:
        best = -np.inf
        for trial in study.trials:
            if trial.state == "complete" and trial.score is not None:
                best = max(best, trial.score)
                tracker.log({"sweep/score": trial.score, "sweep/best_score": best}, trial.number)
        tracker.table("sweep/trials", columns(study), table(study))
        tracker.table("sweep/importance", ("setting", "importance"), list(study.importance.items()))
        for figure in figures:
            tracker.image(f"pictures/{figure.stem}", figure, len(study.trials))
        if study.best is not None:
            chosen = {f"sweep/best/{name}": value for name, value in study.best.settings.items()}
            tracker.summary({"sweep/best_score": study.best.score, **chosen})
        tracker.print_dashboard_hint()
