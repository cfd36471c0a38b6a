"""Shrink a trained agent to a packed file of kilobytes, stage by stage, every stage scored by whole games.

    python -m agents.compress runs/dqn__Pong__1__20260101-120000                        # configs/compress_pong.toml
    python -m agents.compress runs/dqn__Pong__1__20260101-120000 --recipe my_recipe.toml
    python -m agents.compress models/pong.rlz --recipe my_recipe.toml                   # shrink it further
    python -m agents.compress --resume runs/compress__Pong__0__20260101-130000

A recipe names the stages (`rl_gen_lab/compression/recipe.py`). Each stage leaves a packed file in the run folder, which
`python -m agents.play FILE.rlz` plays; the smallest that is good enough is a matter of taste, so all are kept, and
ledger.csv has a row for each: bytes, score with its interval, and what other coders would need; ledger.html shows it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agents.compression.config import Config, refuse_others
from agents.reports import compression_page
from agents.training.cli import PRESETS, cli, command
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.folder import RunFolder

ALGO = "compress"


def recipe_of(config: Config) -> Path:
    """Return the recipe of the teacher's game. Raises: ConfigError where there is none, CheckpointError."""
    from envs import names

    assert config.run is not None
    if config.run.suffix != ".rlz":
        refuse_others(RunFolder.open(config.run))
    if config.recipe is not None:
        return config.recipe
    env = _game_of(config.run)
    for name in (names.short_name(env).lower(), *(["atari"] if names.is_atari(env) else [])):
        file = PRESETS / f"{ALGO}_{name}.toml"
        if file.exists():
            print(f"recipe: {file.relative_to(PRESETS.parent)}", flush=True)
            return file
    raise ConfigError("no recipe for this game: write one (see configs/compress_atari.toml) and name it, --recipe FILE")


def _game_of(path: Path) -> str:
    if path.suffix != ".rlz":
        return str(RunFolder.open(path).read_config("env_id")["env_id"])
    from agents.compression.policy_file import PackedPolicy  # here, so that --help needs no torch

    return PackedPolicy.read(path).env


@command
def main(argv: list[str] | None = None) -> None:
    """Run a recipe on the policy of a trained agent."""
    config = cli(Config, argv)
    if (config.run is None) == (config.resume is None):
        raise ConfigError("name the run folder of a trained agent, or --resume a compression")
    run = None
    if config.resume is None:
        config = replace(config, recipe=recipe_of(config))
    else:
        from rl_gen_lab.compression.resuming import nothing_left, saved_config  # here, so that --help needs no torch

        run = RunFolder.open(config.resume)
        config = saved_config(Config, run, "agents.compress", argv)
        if nothing_left(run):
            return
    from agents.compression.run import compress

    done = compress(config, run)
    print(done.shown(compression_page.write(done)))


if __name__ == "__main__":
    main()
