"""A Weights & Biases report page as code: the charts of the workspace in narrative order, with placeholders for text.

It is a template: W&B's editor opens it, and whoever made the runs writes what they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rl_gen_lab.tracking.workspace import GROUP_BY, build, load_package, sections

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report

EPISODES = "final/episodes"
# Section of the workspace -> what the reader wants to know there.
QUESTIONS = {
    "Learning curves": "How fast does each agent learn? The line is the mean over its runs, the band their standard"
    " deviation; by steps it is the algorithm that is compared, by seconds the program on this machine as well.",
    "Evaluation": "How good is it at its last evaluation, and how much do episodes differ?",
    "Agents playing": "What does the score look like? One episode of each final agent, not a selection.",
    "Losses": "Is anything about to break? Gradient norms are those before clipping, for all agents.",
    "Speed and schedules": "What did it cost?",
}


def report(project: str, entity: str, title: str = "Agents compared", env_id: str | None = None) -> Report:
    """Build the report as W&B's own object; nothing is sent.

    env_id: show the runs of this environment only; means over several environments say nothing.
    Raises: DashboardError without wandb-workspaces.
    """
    reports, _ = load_package()

    def grid(panels: list[Any]) -> Any:
        runs = reports.Runset(
            entity=entity,
            project=project,
            name=env_id or "All runs",
            filters="" if env_id is None else f"Config('env_id') = '{env_id}'",
            groupby=[f"config.{GROUP_BY}"],
        )
        return reports.PanelGrid(runsets=[runs], panels=panels)

    blocks = [
        reports.TableOfContents(),
        reports.H1(text="Question"),
        reports.P(text="What was compared, and why. Seeds, steps and minutes of each run; the machine."),
    ]
    for name, panels in sections().items():
        blocks += [reports.H1(text=name), reports.P(text=QUESTIONS[name]), grid([build(panel) for panel in panels])]
    blocks += [
        reports.H1(text="Episodes of the final evaluations"),
        reports.P(text="Every episode that the scores are made of: its seed, return and length."),
        reports.WeaveBlockSummaryTable(entity=entity, project=project, table_name=EPISODES),
        reports.H1(text="Answer"),
        reports.P(text="What the numbers allow to say, how many seeds stand behind it, and what remains open."),
    ]
    description = f"{env_id or 'All environments'}; made by rl_gen_lab.dashboard --report"
    built: Report = reports.Report(
        project=project, entity=entity, title=title, description=description, blocks=blocks, width="fixed"
    )
    return built
