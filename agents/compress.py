"""Shrink a trained agent to a packed file of kilobytes, stage by stage, every stage scored by whole games.

    python -m agents.compress runs/dqn__Pong__1__20260101-120000                        # configs/compress_pong.toml
    python -m agents.compress runs/dqn__Pong__1__20260101-120000 --recipe my_recipe.toml
    python -m agents.compress --resume runs/compress__Pong__0__20260101-130000

A recipe names the stages (`rl_gen_lab/compression/recipe.py`). Each stage leaves a packed file in the run folder, which
`python -m agents.play FILE.rlz` plays; the smallest that is good enough is a matter of taste, so all are kept, and
ledger.csv has a row for each: bytes, score with its interval, and what other coders would need; ledger.html shows it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.compression.config import Config
from agents.reports import compression_page
from agents.training.cli import PRESETS, cli, command
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.folder import RunFolder

ALGO = "compress"


def recipe_of(config: Config) -> Path:
    """Return the recipe of the teacher's game. Raises: ConfigError where there is none, CheckpointError."""
    from envs import names

    assert config.run is not None
    if config.recipe is not None:
        return config.recipe
    env = str(RunFolder.open(config.run).read_config("env_id")["env_id"])
    for name in (names.short_name(env).lower(), "atari"):
        file = PRESETS / f"{ALGO}_{name}.toml"
        if file.exists():
            print(f"recipe: {file.relative_to(PRESETS.parent)}", flush=True)
            return file
    raise ConfigError("no recipe for this game: write one (see configs/compress_pong.toml) and name it, --recipe FILE")


def _resumed(config: Config) -> tuple[Config, RunFolder, dict[str, Any]]:
    """Return the settings of the run to continue, its folder, and its state. Raises: CheckpointError."""
    from rl_gen_lab.cli.saved import from_saved
    from rl_gen_lab.runs.checkpoints import load_state

    assert config.resume is not None
    run = RunFolder.open(config.resume)
    saved = run.read_config("config")
    if saved.get("exp_name") != ALGO:
        raise CheckpointError(f"{run} is a run of {saved.get('exp_name')!r}, not of a compression")
    old = from_saved(Config, saved["config"], str(run.config_file))
    return old, run, load_state(run.checkpoints / "latest")


@command
def main(argv: list[str] | None = None) -> None:
    """Run a recipe on the policy of a trained agent."""
    config = cli(Config, argv)
    if (config.run is None) == (config.resume is None):
        raise ConfigError("name the run folder of a trained agent, or --resume a compression")
    state, run = None, None
    if config.resume is not None:
        config, run, state = _resumed(config)
    from agents.compression.run import compress  # here, so that --help needs no torch

    if run is None:
        config = replace(config, recipe=recipe_of(config))
    done = compress(config, run, state)
    print(done.shown(compression_page.write(done)))


if __name__ == "__main__":
    main()
