"""Agents of dreams outside: the game that a dream is of, seen as in the dream."""

from __future__ import annotations

from pathlib import Path

from agents.perception.dreams import dream_of
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.folder import RunFolder

MOST_FRAMES = 10**9  # of a game, as settings allow
MOST_STEPS = 27_000  # of a game, half an hour at four frames a step


def dream_run_of(run: RunFolder) -> str:
    """Return the run in whose dreams an agent lives. Raises: ConfigError for another agent."""
    saved = run.read_config("config")["config"]
    for name in (str(saved.get("env", "")), str(saved.get("world", {}).get("observe", ""))):
        if name.startswith("dream:"):
            return name.partition(":")[2]
    raise ConfigError(f"{run} was not trained in dreams, nor on --observe dream:RUN")


def game_of(run: RunFolder, sticky: float, max_steps: int = MOST_STEPS) -> tuple[str, EnvConfig]:
    """Return the game of an agent's dreams, and the settings under which it looks alike.

    sticky: probability that a frame repeats the action before; max_steps: agent steps after which a game is cut off.
    Raises: ConfigError, CheckpointError.
    """
    source = dream_run_of(run)
    world = dream_of(Path(source)).world
    frames = min(max_steps * world.frame_skip, MOST_FRAMES)
    settings = EnvConfig(
        observe=f"dream:{source}", sticky=sticky, frame_skip=world.frame_skip, max_episode_frames=frames
    )
    return world.task.partition(" ")[0], settings
