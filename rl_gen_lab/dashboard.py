"""Save the project's Weights & Biases workspace: ours and Stable-Baselines3's agents on the same charts.

    python -m rl_gen_lab.dashboard --project rl_gen_lab --entity NAME
    python -m rl_gen_lab.dashboard --entity NAME --report --env-id ALE/Pong-v5

`--report` makes a report page instead, with the same charts and gaps for the words around them. Both need the optional
package wandb-workspaces; `rl_gen_lab.tracking.workspace` holds the panels, `rl_gen_lab.tracking.report` the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Ranged, WandbConfig
from rl_gen_lab.tracking.report import report
from rl_gen_lab.tracking.wandb_names import resolve, stored_settings
from rl_gen_lab.tracking.workspace import save, workspace


@dataclass(frozen=True)
class Config(Ranged):
    """Save the project's dashboard in Weights & Biases."""

    # W&B user or team that owns the project; none: WANDB_ENTITY, else that of `wandb init`.
    entity: str | None = None
    # W&B project whose runs are shown; none: WANDB_PROJECT, else that of `wandb init`, else rl_gen_lab.
    project: str | None = None
    # Title of the saved view or report.
    name: str | None = None
    # Make a report page instead of a workspace.
    report: bool = False
    # Report on the runs of this environment only, by its full id.
    env_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would be ignored."""
        super().__post_init__()
        if self.env_id is not None and not self.report:
            raise ConfigError("--env-id belongs to --report")


@exit_on_error
def main(argv: Sequence[str] | None = None) -> None:
    """Save the workspace or the report, and print its address."""
    config = parse_flags(Config, argv, description=__doc__)
    names = resolve(WandbConfig(project=config.project, entity=config.entity), stored_settings())
    if names.entity is None or names.project is None:
        raise ConfigError("--entity is missing: the W&B user or team that owns the project")
    if config.report:
        built = report(names.project, names.entity, config.name or "Agents compared", config.env_id)
        print(save(built, "report"))
    else:
        print(save(workspace(names.project, names.entity, config.name or "Learning curves"), "workspace"))


if __name__ == "__main__":
    main()
