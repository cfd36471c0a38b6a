"""Lookup of the ground truth of an environment among the files of `games/`."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from envs import names
from envs.config import UnknownEnvError
from envs.ground_truth import games
from envs.ground_truth.objects import Game

FAMILIES = {"minigrid": "minigrid", "babyai": "minigrid"}  # first word of an id -> file


class NoGroundTruthError(UnknownEnvError):
    """No file of `games/` reads this environment; the message names those that are read."""


def supported() -> list[str]:
    """Return the names of the files of `games/`."""
    return sorted(module.name for module in pkgutil.iter_modules(games.__path__))


def game_of(env_id: str) -> Game:
    """Return the reading of an environment.

    All ids of an ALE game (`ALE/Pong-v5`, `PongNoFrameskip-v4`) share one reading, and so do the environments of a
    family: `MiniGrid-Empty-8x8-v0` is read as `minigrid`. Raises: NoGroundTruthError, UnknownEnvError.
    """
    env_id = names.resolve(env_id)
    atari = names.is_atari(env_id)
    name = str(names.spec(env_id).kwargs["game"]) if atari else names.short_name(env_id).lower()
    name = FAMILIES.get(name.partition("-")[0], name)
    if name not in supported():
        close = difflib.get_close_matches(name, supported(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise NoGroundTruthError(f"no ground truth for {env_id}: known are {', '.join(supported())}{hint}")
    game: Game = importlib.import_module(f"envs.ground_truth.games.{name}").GAME
    return game
