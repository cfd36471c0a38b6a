"""Bias and variance of the policy gradient by baseline, discount and lambda.

    python -m agents.variance --env CartPole

All estimators see the same policy and the same episodes. The policy comes from a run (`--run`), or is trained for a few
updates first. The reference is the undiscounted gradient of the return, from many more episodes of its own. Writes
variance.png, variance.csv and a W&B run into comparisons/variance__<env>__<time>/. Tested against exact gradients.
"""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

from agents.analysis.config import MeasurementConfig
from agents.analysis.gradient_estimators import Quality
from agents.reports.store import write_csv
from agents.reports.variance import VarianceRow, draw_variance
from agents.training.cli import cli, command
from agents.training.environments import task_fingerprint
from envs import names
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.cli.values import to_flat_dict
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker


@dataclass(frozen=True)
class Config(MeasurementConfig):
    """Measure variance and bias of policy-gradient estimators at one policy."""

    # Where the measurement's own folder is made.
    out: Path = Path("comparisons")

    wandb: WandbConfig = field(default_factory=WandbConfig)


COLUMNS = ("baseline", "discount", "lambda", *(f.name for f in fields(Quality)))


def table(qualities: list[Quality]) -> list[list[str]]:
    """Return a row for each estimator, under COLUMNS."""
    from agents.analysis.gradient_quality import ESTIMATORS  # here, so that --help needs no torch

    rows = []
    for e, q in zip(ESTIMATORS, qualities, strict=True):
        trace = f"{e.lambda_:g}" if e.kind == "gae" else ""
        rows.append([e.kind, f"{e.gamma:g}", trace, *(f"{x:.4g}" for x in astuple(q))])
    return rows


def figure_rows(qualities: list[Quality]) -> list[VarianceRow]:
    """Return the rows of the figure."""
    from agents.analysis.gradient_quality import ESTIMATORS

    return [
        VarianceRow(e.kind, e.gamma, e.lambda_, q.variance, q.bias, q.noise)
        for e, q in zip(ESTIMATORS, qualities, strict=True)
    ]


@command
def main(argv: list[str] | None = None) -> None:
    """Measure, draw, write."""
    config = cli(Config, argv)

    from agents.analysis.gradient_quality import measure

    env_id = names.resolve(config.env)
    with save_errors(config.out):  # before the measurement, not after it
        config.out.mkdir(parents=True, exist_ok=True)
    with ProgressDisplay(f"variance {names.short_name(env_id)}", _work(config), "batches") as display:
        qualities = measure(config, display)
    folder = config.out / f"variance__{names.short_name(env_id)}__{time.strftime('%Y%m%d-%H%M%S')}"
    with save_errors(folder):
        folder.mkdir(parents=True)
    what = "a policy trained for" if config.run is None else f"the policy of {config.run.name}"
    whose = f"{what} {config.warm_up_updates} updates" if config.run is None else what
    title = f"{env_id}, {whose}: {config.batches} batches of {config.episodes} episodes"
    draw_variance(figure_rows(qualities), title, folder / "variance.png")
    rows = table(qualities)
    write_csv(folder / "variance.csv", COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    for row in [list(COLUMNS), *rows]:
        print("  ".join(f"{cell:>13}" for cell in row))
    tracker = Tracker.start(
        RunFolder(folder),
        config.wandb,
        algo="variance",
        env_id=env_id,
        seed=config.seed,
        flat_config=to_flat_dict(config),
        fingerprint_hash=task_fingerprint(env_id, config.world, 0.0).hash,
        job_type="variance",
    )
    with tracker:
        tracker.image("variance/plot", folder / "variance.png", 0)
        tracker.table("variance/table", COLUMNS, rows)
    print(f"variance: {folder / 'variance.png'}")


def _work(config: Config) -> int:
    return config.warm_up_updates + config.truth_batches + config.batches


if __name__ == "__main__":
    main()
