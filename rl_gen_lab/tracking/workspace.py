"""The project's Weights & Biases workspace as code: ours and Stable-Baselines3's agents on the same charts.

The panels are plain data first (`sections`), so that they can be read and tested without the optional package
wandb-workspaces, without a network and without an account; `build` turns them into W&B's classes.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rl_gen_lab.cli.errors import UserError

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

# The key of the flat config under which a run names its agent.
GROUP_BY = "exp_name"
STEPS, SECONDS = "global_step", "wall_seconds"
# Runs averaged in a chart at most; W&B's default is 10.
MAX_RUNS = 100


class DashboardError(UserError):
    """The workspace cannot be made or saved here; the message says what to do."""


@dataclass(frozen=True)
class Line:
    """A line chart: the mean over the runs of each agent, with the range between them."""

    title: str
    metrics: tuple[str, ...]
    x: str = STEPS
    band: Literal["stddev", "minmax", "stderr"] = "stddev"
    # Running mean over this many points; 0 leaves the line as logged.
    smooth_points: int = 0


@dataclass(frozen=True)
class Scalar:
    """A number per agent: the last value, averaged over its runs."""

    title: str
    metric: str


@dataclass(frozen=True)
class Media:
    """Videos or images."""

    title: str
    keys: tuple[str, ...]


Panel = Line | Scalar | Media


def sections() -> dict[str, list[Panel]]:
    """Return the panels by section, in the order of the page."""
    return {
        "Learning curves": [
            Line("Evaluation return by env steps", ("eval/return_mean",)),
            Line("Evaluation return by wall-clock seconds", ("eval/return_mean",), x=SECONDS),
            Line("Training return by env steps", ("charts/episodic_return",), smooth_points=20),
            Line(
                "Training return by wall-clock seconds",
                ("charts/episodic_return",),
                x=SECONDS,
                smooth_points=20,
            ),
        ],
        "Evaluation": [
            Scalar("Mean return", "eval/return_mean"),
            Scalar("Standard deviation over episodes", "eval/return_std"),
            Scalar("Worst episode", "eval/return_min"),
            Scalar("Best episode", "eval/return_max"),
        ],
        "Agents playing": [Media("Videos of the final agents", ("videos/final",))],
        "Losses": [
            Line("TD loss", ("losses/td_loss",)),
            Line("Q-values", ("losses/q_values",)),
            Line("Gradient norm", ("losses/grad_norm",)),
            Line("Policy and value loss", ("losses/policy_loss", "losses/value_loss")),
            Line("Policy entropy", ("losses/entropy",)),
            Line("Approximate KL divergence of an update", ("losses/approx_kl",)),
            Line("Share of clipped probability ratios", ("losses/clipfrac",)),
        ],
        "Speed and schedules": [
            Line("Env steps per second", ("charts/SPS",), band="minmax"),
            Line("Epsilon", ("charts/epsilon",)),
            Line("Learning rate", ("charts/learning_rate",)),
            Line("Peak memory [MB]", ("charts/peak_memory_mb",), band="minmax"),
            Line("Processor [% of a core]", ("charts/cpu_percent",), band="minmax"),
            Line("Episode length", ("charts/episodic_length",), smooth_points=20),
        ],
    }


def load_package() -> tuple[Any, Any]:
    """Return the modules of reports and of workspaces of wandb-workspaces. Raises: DashboardError without it."""
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise DashboardError(
            "wandb-workspaces is not installed: .venv/bin/pip install -c constraints.txt wandb-workspaces"
        )
    with warnings.catch_warnings():  # the package declares its classes in pydantic's deprecated way
        warnings.simplefilter("ignore", DeprecationWarning)
        import wandb_workspaces.reports.v2.interface as reports
        import wandb_workspaces.workspaces as workspaces
    return reports, workspaces


def build(panel: Panel) -> Any:
    """Return a panel as W&B's own object. Raises: DashboardError."""
    reports, _ = load_package()
    match panel:
        case Line():
            return reports.LinePlot(
                title=panel.title,
                x=panel.x,
                y=list(panel.metrics),
                groupby=reports.Config(GROUP_BY),
                groupby_aggfunc="mean",
                groupby_rangefunc=panel.band,
                smoothing_type="average" if panel.smooth_points else "none",
                smoothing_factor=panel.smooth_points,
                title_x="env steps" if panel.x == STEPS else "wall-clock seconds",
            )
        case Scalar():
            return reports.ScalarChart(
                title=panel.title, metric=panel.metric, groupby_aggfunc="mean", groupby_rangefunc="stddev"
            )
        case Media():
            return reports.MediaBrowser(title=panel.title, media_keys=list(panel.keys), num_columns=3)


def workspace(project: str, entity: str, name: str = "Learning curves") -> Workspace:
    """Build the workspace as W&B's own object; nothing is sent.

    Raises:
        DashboardError: wandb-workspaces is not installed.
    """
    _, workspaces = load_package()
    built: Workspace = workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            workspaces.Section(name=title, panels=[build(panel) for panel in content], is_open=True)
            for title, content in sections().items()
        ],
        settings=workspaces.WorkspaceSettings(x_axis=STEPS, max_runs=MAX_RUNS),
        runset_settings=workspaces.RunsetSettings(groupby=[workspaces.Config(GROUP_BY)]),
    )
    return built


def save(built: Any, what: str) -> str:
    """Send a workspace or a report to W&B and return its address. what: its kind, for messages.

    Raises:
        DashboardError: no key, or W&B refuses or cannot be reached.
    """
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise DashboardError("no W&B key: run `wandb login` (or set WANDB_API_KEY), then this command again")
    try:
        return str(built.save().url)
    except Exception as error:  # the package raises the many errors of its transport
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DashboardError(f"W&B did not save the {what} for {built.entity}/{built.project}: {reason}") from error
