"""Explain a trained agent: what in its frames its decisions hang on, as picture, film and page, scored by the truth.

    python -m agents.explain runs/dqn__Pong__1__20260101-120000                       # gradient x input
    python -m agents.explain models/pong.rlz integrated-gradients                     # of a packed policy
    python -m agents.explain runs/ppo__Pong__1__20260101-120000 lrp --target log-probability
    python -m agents.explain models/pong.rlz all --games 10                           # every method; games, hypotheses
    python -m agents.explain models/pong.rlz lrp --stages models/pong.rlz runs/compress__Pong__0__20260101-130000

Every score stands beside its controls, made from the same frames: maps without a network, the untrained twin, the
object's share of the frame. `docs/explain.md` says what each score means. `agents.results --record explain` keeps them
(`explain_stages` with --stages, which asks every stage of an agent about the same frames and makes no film).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.analysis.explain_config import Config
from agents.play import PACKED, Play
from agents.play import Config as PlayConfig
from agents.reports import explain as report
from agents.reports import explain_stages
from agents.training.cli import cli, command
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from agents.analysis.explanation import Explanation
    from agents.analysis.stages import Stage
    from rl_gen_lab.tracking.tracker import Tracker

ALGO = "explain"


def _asked(config: Config, play: Play) -> Explanation:
    """Return what is asked of the agent. Raises: ConfigError, before anything is played."""
    from agents.analysis.explained import explained, without_mean  # here, so that --help needs no torch
    from agents.analysis.explanation import Explanation
    from agents.analysis.frames import mean_frame
    from agents.analysis.game_scores import Player
    from agents.analysis.witness import Witness
    from rl_gen_lab.explain.grad_cam import checked_layer
    from rl_gen_lab.explain.methods import chosen_methods

    methods = chosen_methods(config.method)
    model, _ = explained(play.policy, config.target)
    if config.layer is not None and "grad-cam" not in methods:
        raise ConfigError("--layer is a setting of the method grad-cam")
    if config.layer is not None:
        checked_layer(model.network, config.layer)
    if config.frames:
        Witness(play.env, play.world).close()
    if without_mean(model):
        mean = mean_frame(play.env, play.world, play.policy, config.seed)
        model = replace(model, baseline=torch.from_numpy(mean))
    player = Player(play.env, play.world, play.policy, play.epsilon, config.games, config.seed + 1_000)
    if config.games:
        player.refuse_memory()
    return Explanation(config, model, player)


def _plays(path: Path) -> list[tuple[str, Play]]:
    """Return the stages of a path by name: a packed policy, the files of a compression, or weights of a training.

    Raises: CheckpointError.
    """
    from agents.training.load import kept_weights, load_policy  # here, so that --help needs no torch

    if path.suffix == PACKED:
        return [(path.stem, Play.of(PlayConfig(run=path)))]
    run = RunFolder.open(path)
    if run.made_by() == "python -m agents.compress":
        files = sorted(run.path.glob(f"stage*{PACKED}"), key=lambda file: int(re.sub(r"\D", "", file.stem) or 0))
        if not files:
            raise CheckpointError(f"{run} has no packed file yet: let its first stage end")
        return [(file.stem, Play.of(PlayConfig(run=file))) for file in files]
    best = Play.of(PlayConfig(run=path))
    kept = [
        (f"step {step:,}", replace(best, policy=load_policy(run, name))) for step, name in kept_weights(run).items()
    ]
    return kept or [("best", best)]


def _stages(explanation: Explanation, play: Play) -> list[Stage]:
    """Return the stages that are asked for. Raises: ConfigError, CheckpointError, before anything is played."""
    from agents.analysis.stages import refuse_other_views, stage_of  # here, so that --help needs no torch

    found = []
    for path in explanation.config.stages:
        for name, one in _plays(path):
            refuse_other_views(path.name, one.env, one.world, play.env, play.world)
            found.append(stage_of(name, path.name, one.policy, explanation.config.target, explanation.model.baseline))
    return found


def _follow(explanation: Explanation, stages: list[Stage], run: RunFolder, tracker: Tracker) -> dict[str, Any]:
    """Score all stages on the same frames, draw them in the run folder, and return what result.json holds."""
    from agents.analysis import stages as staged

    kept, file = explanation.frames(), run.path / "pictures" / "stages.png"
    with save_errors(file.parent):
        file.parent.mkdir(exist_ok=True)
        staged.picture(explanation, kept, stages).save(file)
    tracker.image(f"pictures/{file.stem}", file, 0)
    sample = explanation.sample(kept)
    about = {"frames": len(kept), "episodes": len(set(sample.episodes.tolist())), "objects": list(sample.masks)}
    return about | {"rows": staged.rows(explanation, kept, stages)}


def _explain(explanation: Explanation, run: RunFolder, tracker: Tracker) -> dict[str, Any]:
    """Make everything that is asked for in the run folder, and return what result.json holds."""
    from agents.analysis.explanation import timed
    from agents.training.video import write_mp4
    from rl_gen_lab.explain import drawing

    config, result = explanation.config, dict[str, Any](rows=[])
    pictures = run.path / "pictures"
    with save_errors(pictures):
        pictures.mkdir(exist_ok=True)
        drawing.filters(explanation.model.network).save(pictures / "filters.png")
    if config.film_steps:

        def make_film() -> Path:
            file = run.videos / "explained.mp4"
            write_mp4(file, explanation.film())
            return file

        video, seconds = timed(make_film)
        result["film_seconds"] = round(seconds, 1)
        print(f"{run.shown(video)}: {config.film_steps} steps in {seconds:.1f} s", flush=True)
        tracker.video("videos/explained", video, 0)
    if config.frames:
        kept = explanation.frames()
        with save_errors(pictures):
            explanation.strip(kept).save(pictures / "strip.png")
            explanation.stack(kept).save(pictures / "stack.png")
            explanation.row(kept).save(pictures / "row.png")
        sample = explanation.sample(kept)
        result |= {"frames": len(kept), "episodes": len(set(sample.episodes.tolist())), "objects": list(sample.masks)}
        result["rows"] = explanation.rows(sample)
        if config.games:
            result["rows"] += explanation.add_games(result["rows"])
    for file in sorted(pictures.glob("*.png")):
        tracker.image(f"pictures/{file.stem}", file, 0)
    return result


@command
def main(argv: list[str] | None = None) -> None:
    """Explain an agent, and print where everything is."""
    config = cli(Config, argv)
    play = Play.of(PlayConfig(run=config.run, which=config.which))
    from agents.training.environments import task_fingerprint  # here, so that --help needs no torch
    from envs import names
    from rl_gen_lab.cli.values import to_dict, to_flat_dict
    from rl_gen_lab.compute import devices
    from rl_gen_lab.runs import provenance
    from rl_gen_lab.tracking.tracker import Tracker

    devices.setup(config.device)
    explanation = _asked(config, play)
    stages = _stages(explanation, play)
    short, task = names.short_name(play.env), task_fingerprint(play.env, play.world, play.epsilon)
    run = RunFolder.create(config.runs_dir, ALGO, short, config.seed)
    about = {"config": to_dict(config), "env_id": play.env, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | {"fingerprint": vars(task)} | provenance.of_run("agents.explain"))
    with Tracker.start(
        run,
        config.wandb,
        algo=ALGO,
        env_id=short,
        seed=config.seed,
        flat_config=to_flat_dict(config),
        fingerprint_hash=task.hash,
        job_type=ALGO,
    ) as tracker:
        print(f"run folder {run}", flush=True)
        result = _follow(explanation, stages, run, tracker) if stages else _explain(explanation, run, tracker)
        run.write_result({"agent": play.source, "target": config.target} | result)
        head = explain_stages.HEAD if stages else report.HEAD
        lines = explain_stages.lines(explain_stages.rows_of(run, "")) if stages else report.lines(run)
        if lines:
            tracker.table("explain/scores", head, lines)
            print(report.printed(lines))
        print(run.shown(explain_stages.write_page(run) if stages else report.write_page(run)))


if __name__ == "__main__":
    main()
