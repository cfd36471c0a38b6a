"""The score of an agent that sees every frame in the style of a picture, beside its score on plain frames.

    python -m agents.restyle models/pong.rlz coffee                                # the style's colors alone
    python -m agents.restyle models/pong.rlz cells fast,any --network runs/style__cells__0__20260101-120000

The networks are those that `python -m rl_gen_lab.style` trained. The frames of a stack are restyled one by one; gray
agents see the gray of the result. The same games are played each time; intervals are of their differences
(docs/textures.md). `agents.results --record styles` keeps the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from annotated_types import Interval

from agents.play import Config as PlayConfig
from agents.play import Play
from agents.training.cli import cli, command
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import Ranged, Seed, Share
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from rl_gen_lab.explain.synthesis.styled import Stylist

ALGO = "restyle"
METHODS = ("colors", "fast", "any")  # a search takes seconds for each frame


@dataclass(frozen=True)
class Config(Ranged):
    """Play games whose frames are restyled."""

    # Run folder of a trained agent that sees frames, or a packed policy, FILE.rlz.
    run: Annotated[Path, tyro.conf.Positional]
    # A picture: a file, or a name of a shipped one.
    style: Annotated[str, tyro.conf.Positional]
    # colors, fast, any; several, joined by commas; all.
    method: Annotated[str, tyro.conf.Positional] = "colors"
    # fast, any: a run of rl_gen_lab.style, whose networks are used.
    network: Path | None = None
    # any: share of the style.
    strength: Share = 1.0
    # The agent's best weights by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # Whole games for each method; an interval needs two.
    games: Annotated[int, Interval(ge=2, le=1_000)] = 3
    # Seed of the games; training and its evaluations never use it.
    seed: Seed = 6_000_000
    # Folder in which the run's own folder is made.
    runs_dir: Path = Path("runs")


def stylist_of(config: Config, methods: list[str]) -> Stylist:
    """Return what restyles. Raises: CheckpointError, DataError, ConfigError."""
    from rl_gen_lab.explain.synthesis.style import Weights
    from rl_gen_lab.explain.synthesis.styled import Stylist
    from rl_gen_lab.style import opened

    learned = {"fast", "any"} & set(methods)
    if learned and config.network is None:
        made = f"python -m rl_gen_lab.style FRAMES {config.style} {','.join(sorted(learned))}"
        raise ConfigError(f"{' and '.join(sorted(learned))} need --network RUN, which {made} makes")
    style = opened(config.style, 128, "test")[0][:1]
    kept = None if config.network is None else RunFolder.open(config.network).checkpoints
    settings: dict[str, Any] = {"iterations": 1, "updates": 1, "strength": config.strength, "seed": 0}
    return Stylist(style.float() / 255, style, style, Weights(), **settings, kept=Path(), learned=kept)


@command
def main(argv: list[str] | None = None) -> None:
    """Play, and print the scores."""
    config = cli(Config, argv)
    from rl_gen_lab.explain.methods import chosen_methods  # here, so that --help needs no torch

    methods = chosen_methods(config.method, METHODS)
    play = Play.of(PlayConfig(run=config.run, which=config.which))
    from agents.analysis.game_scores import Player, difference
    from agents.analysis.restyled import channels_of, one_by_one, seen_as
    from envs import names
    from rl_gen_lab.cli.values import to_dict
    from rl_gen_lab.runs import provenance

    torch.set_num_threads(1)
    player = Player(play.env, play.world, play.policy, play.epsilon, config.games, config.seed)
    player.refuse_memory()
    depth = channels_of(play.env, play.world)
    stylist = stylist_of(config, methods)
    changes = {}
    for method in methods:
        apply = stylist.prepare(method)[0]
        changes[method] = seen_as(one_by_one(apply) if method == "colors" else apply, depth)
    short = names.short_name(play.env)
    run = RunFolder.create(config.runs_dir, ALGO, short, config.seed)
    about = {"config": to_dict(config), "env_id": play.env, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | provenance.of_run("agents.restyle"))
    plain = player.score()
    subject = f"{play.source} sees {Path(config.style).name}"
    rows: list[dict[str, Any]] = []
    for method, change in [("as it is", None), *changes.items()]:
        scores = plain if change is None else player.score(change)
        measures = {"score": float(scores.mean()), "games": len(scores)}
        if change is not None:
            measures |= dict(zip(("change", "low", "high"), difference(plain, scores), strict=True))
        rows.append({"subject": subject, "method": method, "measures": measures})
        print(f"{method:10} {' | '.join(f'{name} {value:.4g}' for name, value in measures.items())}", flush=True)
    run.write_result({"rows": rows})
    print(run.shown(run.result_file))


if __name__ == "__main__":
    main()
