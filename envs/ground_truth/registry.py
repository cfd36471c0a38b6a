"""Which worlds have truth, by the files of `games/`."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from envs import names
from envs.config import UnknownEnvError
from envs.ground_truth import games
from envs.ground_truth.objects import Game

FAMILIES = {"minigrid": "minigrid", "babyai": "minigrid"}  # how ids begin -> file


class NoTruthError(UnknownEnvError):
    """Nothing in `games/` can read this world; the message names those it can read."""


def supported() -> list[str]:
    """Names of the files of `games/`."""
    return sorted(module.name for module in pkgutil.iter_modules(games.__path__))


def game_of(env_id: str) -> Game:
    """How to read a world. Every id of an ALE game (`ALE/Pong-v5`, `PongNoFrameskip-v4`) has the same reading.

    So has every world of a family: `MiniGrid-Empty-8x8-v0` is read as `minigrid`.

    Raises: NoTruthError, UnknownEnvError.
    """
    env_id = names.resolve(env_id)
    atari = names.is_atari(env_id)
    name = str(names.spec(env_id).kwargs["game"]) if atari else names.short_name(env_id).lower()
    family = name.partition("-")[0]
    name = FAMILIES.get(family, name)
    if name not in supported():
        close = difflib.get_close_matches(name, supported(), n=1)
        near = f"; did you mean {close[0]}?" if close else ""
        raise NoTruthError(f"no truth for {env_id}: known are {', '.join(supported())}{near}")
    game: Game = importlib.import_module(f"envs.ground_truth.games.{name}").GAME
    return game
