"""The project's Weights & Biases workspace as code: ours and Stable-Baselines3's agents on the same charts.

    python -m rl_gen_lab.dashboard --project rl_gen_lab --entity NAME

Needs the optional package wandb-workspaces. The panels are plain data first (`sections`), so that they can
be read and tested without it, without a network and without an account; `workspace` turns them into W&B's
classes.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.cli.flags import parse_flags

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

# The flat config key by which every run names its agent.
GROUP_BY = "exp_name"
STEPS, SECONDS = "global_step", "wall_seconds"
# Runs averaged in one chart at most; W&B shows 10 unless told.
MOST_RUNS = 100


class DashboardError(UserError):
    """The workspace cannot be made or saved here; the message says what to do."""


@dataclass(frozen=True)
class Line:
    """A line chart: mean over the runs of each agent, with the spread between them."""

    title: str
    metrics: tuple[str, ...]
    x: str = STEPS
    spread: Literal["stddev", "minmax", "stderr"] = "stddev"
    # Running mean over this many points; 0 leaves the line as logged.
    smooth_points: int = 0


@dataclass(frozen=True)
class Scalar:
    """One number per agent: the last value, averaged over its runs."""

    title: str
    metric: str


@dataclass(frozen=True)
class Media:
    """Videos or images."""

    title: str
    keys: tuple[str, ...]


Panel = Line | Scalar | Media


def sections() -> dict[str, list[Panel]]:
    """The panels by section, in the order of the page."""
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
        "Agents playing": [Media("Films of the final agents", ("videos/final",))],
        "Losses": [
            Line("TD loss", ("losses/td_loss",)),
            Line("Q-values", ("losses/q_values",)),
            Line("Gradient norm", ("losses/grad_norm",)),
            Line("Policy and value loss", ("losses/policy_loss", "losses/value_loss")),
        ],
        "Speed and schedules": [
            Line("Env steps per second", ("charts/SPS",), spread="minmax"),
            Line("Epsilon", ("charts/epsilon",)),
            Line("Learning rate", ("charts/learning_rate",)),
            Line("Peak memory [MB]", ("charts/peak_memory_mb",), spread="minmax"),
            Line("Episode length", ("charts/episodic_length",), smooth_points=20),
        ],
    }


def workspace(project: str, entity: str, name: str = "Learning curves") -> Workspace:
    """The workspace as W&B's own object; nothing is sent.

    Raises:
        DashboardError: wandb-workspaces is not installed.
    """
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise DashboardError(
            "wandb-workspaces is not installed: .venv/bin/pip install -c constraints.txt wandb-workspaces"
        )
    with warnings.catch_warnings():  # the package still declares its classes in pydantic's old way
        warnings.simplefilter("ignore", DeprecationWarning)
        import wandb_workspaces.reports.v2.interface as panels
        import wandb_workspaces.workspaces as workspaces

    by_agent = panels.Config(GROUP_BY)

    def build(panel: Panel) -> panels.LinePlot | panels.ScalarChart | panels.MediaBrowser:
        match panel:
            case Line():
                return panels.LinePlot(
                    title=panel.title,
                    x=panel.x,
                    y=list(panel.metrics),
                    groupby=by_agent,
                    groupby_aggfunc="mean",
                    groupby_rangefunc=panel.spread,
                    smoothing_type="average" if panel.smooth_points else "none",
                    smoothing_factor=panel.smooth_points,
                    title_x="env steps" if panel.x == STEPS else "wall-clock seconds",
                )
            case Scalar():
                return panels.ScalarChart(
                    title=panel.title, metric=panel.metric, groupby_aggfunc="mean", groupby_rangefunc="stddev"
                )
            case Media():
                return panels.MediaBrowser(title=panel.title, media_keys=list(panel.keys), num_columns=3)

    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            workspaces.Section(name=title, panels=[build(panel) for panel in content], is_open=True)
            for title, content in sections().items()
        ],
        settings=workspaces.WorkspaceSettings(x_axis=STEPS, max_runs=MOST_RUNS),
        runset_settings=workspaces.RunsetSettings(groupby=[workspaces.Config(GROUP_BY)]),
    )


def save(project: str, entity: str, name: str = "Learning curves") -> str:
    """Send the workspace to W&B and give its address.

    Raises:
        DashboardError: no package, no key, or W&B refuses or cannot be reached.
    """
    made = workspace(project, entity, name)
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise DashboardError("no W&B key: run `wandb login` (or set WANDB_API_KEY), then this command again")
    try:
        saved: Workspace = made.save()
        return str(saved.url)
    except Exception as error:  # the package raises its transport's own errors, of many kinds
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DashboardError(f"W&B did not save the workspace for {entity}/{project}: {reason}") from error


@dataclass(frozen=True)
class Options:
    """Save the project's dashboard in Weights & Biases."""

    # W&B user or team that owns the project.
    entity: str
    # W&B project whose runs are shown.
    project: str = "rl_gen_lab"
    # Title of the saved view.
    name: str = "Learning curves"


@exit_on_error
def main(argv: Sequence[str] | None = None) -> None:
    """Command line entry: prints the address of the saved workspace; exit code 2 when it cannot."""
    options = parse_flags(Options, argv, description=__doc__)
    print(save(options.project, options.entity, options.name))


if __name__ == "__main__":
    main()
