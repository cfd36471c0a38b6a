"""Save the project's Weights & Biases workspace: ours and Stable-Baselines3's agents on the same charts.

    python -m rl_gen_lab.dashboard --project rl_gen_lab --entity NAME

Needs the optional package wandb-workspaces; `rl_gen_lab.tracking.workspace` holds the panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Ranged
from rl_gen_lab.tracking.workspace import save


@dataclass(frozen=True)
class Config(Ranged):
    """Save the project's dashboard in Weights & Biases."""

    # W&B user or team that owns the project.
    entity: str
    # W&B project whose runs are shown.
    project: str = "rl_gen_lab"
    # Title of the saved view.
    name: str = "Learning curves"


@exit_on_error
def main(argv: Sequence[str] | None = None) -> None:
    """Save the workspace and print its address."""
    config = parse_flags(Config, argv, description=__doc__)
    print(save(config.project, config.entity, config.name))


if __name__ == "__main__":
    main()
