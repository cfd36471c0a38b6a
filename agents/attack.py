"""Attack a trained agent: change its frames by a few gray levels against it, and see what whole games are then worth.

    python -m agents.attack models/pong.rlz                                # random signs, FGSM and PGD, 20 games each
    python -m agents.attack runs/dqn__Pong__1__20260101-120000 all --levels 1 3
    python -m agents.attack models/pong.rlz pgd --levels 1 --share 0.25    # only where most is at stake
    python -m agents.attack models/pong.rlz pgd --levels 1 --newest --whole
    python -m agents.attack models/pong.rlz --games 0 --search 20          # states of the game that it cannot handle
    python -m agents.attack models/pong.rlz --games 0 --image photo.png    # a picture that it takes for each action

Budgets are gray levels of 255, before a network standardizes its input. `docs/attacks.md` says how agents are attacked
and defended; `agents.results --record attacks` keeps the scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.analysis.attack_config import Config
from agents.play import Config as PlayConfig
from agents.play import Play
from agents.reports import attacks as report
from agents.training.cli import cli, command
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from agents.analysis.robustness import Robustness
    from rl_gen_lab.tracking.tracker import Tracker

ALGO = "attack"


def _asked(config: Config, play: Play) -> Robustness:
    """Return what is asked of the agent. Raises: ConfigError, DataError, before anything is played."""
    from agents.analysis.attack_games import chosen_attacks  # here, so that --help needs no torch
    from agents.analysis.attacked import Target
    from agents.analysis.game_scores import Player
    from agents.analysis.robustness import Robustness
    from agents.training.environments import make_env
    from rl_gen_lab.data.images import read_image

    chosen_attacks(config.attacks)
    if config.image is not None:
        read_image(config.image)
    target = Target.of(play.policy)
    env = make_env(play.env, play.world)
    shape = env.observation_space.shape
    env.close()
    assert shape is not None
    player = Player(play.env, play.world, play.policy, play.epsilon, config.games, config.seed + 1_000)
    return Robustness(config, target, player, target.has_bounds(shape))


def _attack(robustness: Robustness, run: RunFolder, tracker: Tracker, agent: str) -> None:
    """Do everything that is asked for and write it into the run folder, each row as soon as it is known."""
    from agents.analysis import attack_pictures

    config, pictures = robustness.config, run.path / "pictures"
    clean, frames = robustness.clean_play()
    result: dict[str, Any] = {"agent": agent, "frames": len(frames), "rows": [clean] if clean else []}
    run.write_result(result)
    with save_errors(pictures):
        pictures.mkdir(exist_ok=True)
    if config.image is not None:
        with save_errors(pictures):
            image, result["fooling"] = attack_pictures.fooling(robustness, config.image)
            image.save(pictures / "fooling.png")
        print(report.fooling_in_words(result), flush=True)
    if config.search:
        with save_errors(pictures):
            result["search"], shown = robustness.search()
            attack_pictures.states(shown).save(pictures / "reached.png")
        print(report.search_in_words(result), flush=True)
    if robustness.budgets:
        with save_errors(pictures):
            attack_pictures.strip(robustness, frames).save(pictures / "attacked.png")
        if config.minimum:
            result["minimum"] = robustness.minimum(frames)
        for row in robustness.rows(frames):
            result["rows"].append(row)
            run.write_result(result)
    run.write_result(result)
    for file in sorted(pictures.glob("*.png")):
        tracker.image(f"pictures/{file.stem}", file, 0)


@command
def main(argv: list[str] | None = None) -> None:
    """Attack an agent, and print where everything is."""
    config = cli(Config, argv)
    play = Play.of(PlayConfig(run=config.run, which=config.which))
    from agents.training.environments import task_fingerprint  # here, so that --help needs no torch
    from envs import names
    from rl_gen_lab.cli.values import to_dict, to_flat_dict
    from rl_gen_lab.compute import devices
    from rl_gen_lab.runs import provenance
    from rl_gen_lab.tracking.tracker import Tracker

    devices.setup(config.device)
    robustness = _asked(config, play)
    short, task = names.short_name(play.env), task_fingerprint(play.env, play.world, play.epsilon)
    run = RunFolder.create(config.runs_dir, ALGO, short, config.seed)
    about = {"config": to_dict(config), "env_id": play.env, "exp_name": ALGO, "seed": config.seed}
    run.write_config(about | {"fingerprint": vars(task)} | provenance.of_run("agents.attack"))
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
        _attack(robustness, run, tracker, play.source)
        lines = report.lines(run)
        if lines:
            tracker.table("attack/scores", report.HEAD, lines)
            print(report.printed(lines))
        print(run.shown(report.write_page(run)))


if __name__ == "__main__":
    main()
